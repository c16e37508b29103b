"""The search space of sections 3.1 and 3.2: operations, cells, the supernet, and what is decoded from it.

Features are NHWC floats. An edge axis, where there is one, stands before the channels.
"""
