"""Running a command in this process, for the tests of the command line."""

from hinas_jax import cli


def run(capsys, *words):
    """Exit code, lines of standard output, lines of standard error."""
    code = 0
    try:
        cli.main([str(word) for word in words])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def mistake(capsys, *words):
    """The one line that a mistake gets."""
    code, _, err = run(capsys, *words)
    assert code == 2
    assert len(err) == 1, err
    assert err[0].startswith("hinas: ")
    return err[0]
