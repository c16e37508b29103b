class EvaluationError(ValueError): pass
