"""The Colab notebook: the whole of it runs in a fresh kernel, and what is committed is fit to be read."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tiny import QUICK_FLAGS

from hinas_jax import Architecture

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "hinas_colab.ipynb"

#: What the notebook's variables hold at its end, as JSON. ``largest`` is the largest gradient of alpha.
SUMMARY = """
print(json.dumps({
    "largest": [largest_at_start, float(jnp.abs(gradient["alpha"]).max())],
    "alpha_start": [float(alphas[0].min()), float(alphas[0].max())],
    "alpha_end": [float(alphas[-1].min()), float(alphas[-1].max())],
    "beta_moved": float(np.abs(betas[-1] - betas[0]).max()),
    "architecture": architecture.to_json(),
    "psnr": [noisy_psnr, restored_psnr],
    "own_losses": own_losses,
}))
"""


def execute(notebook):
    metadata = {"metadata": {"path": str(ROOT)}}
    return NotebookClient(notebook, timeout=600, kernel_name="python3", resources=metadata).execute()


def test_the_notebook_runs_and_finds_a_network_that_denoises(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", QUICK_FLAGS)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(SUMMARY))
    summary = json.loads(execute(notebook).cells[-1].outputs[0].text)

    at_start, warmed_up = summary["largest"]
    assert at_start == 0 < warmed_up  # the end's last convolution starts at zero
    assert summary["alpha_start"] == pytest.approx([1 / 7, 1 / 7])
    least, most = summary["alpha_end"]
    assert least < 0.1 and most > 0.2
    assert summary["beta_moved"] > 0.05
    architecture = Architecture.from_json(summary["architecture"])  # checks that it is valid
    assert architecture.node_count == 2 and set(architecture.widths) <= {4, 8}
    noisy, restored = summary["psnr"]
    assert noisy == pytest.approx(14.15, abs=0.2)  # sigma 50: 20 log10(255 / 50)
    assert restored > noisy + 6
    losses = summary["own_losses"]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_committed_outputs_are_complete_small_and_free_of_traces():
    document = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)
    texts = [output.get("text", "") for output in outputs] + [
        output.get("data", {}).get("text/plain", "") for output in outputs
    ]
    assert not re.search(r"/(home|root|tmp|work|Users|usr)/", json.dumps(texts))
    assert NOTEBOOK.stat().st_size < 700_000
