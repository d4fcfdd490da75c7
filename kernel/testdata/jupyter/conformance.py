"""jupyter_kernel_test's suite against the kernel "llama-go", which Jupyter must
find (JUPYTER_PATH)."""

# ruff: noqa: RUF012 (the suite reads class attributes)
import unittest

import jupyter_kernel_test as jkt
from common import verdict


class LlamaGo(jkt.KernelTests):
    kernel_name = "llama-go"
    language_name = "llama"
    file_extension = ".md"

    code_hello_world = "%system hello, world"
    code_stderr = "%stop"
    completion_samples = [
        {"text": "%ver", "matches": {"%version"}},
        {"text": "%set temp", "matches": {"temperature="}},
        {"text": "%set precision=e", "matches": {"precision=exact"}},
        {"text": "%model smol", "matches": {"smollm2"}},
        {"text": "%reset\n%inf", "matches": {"%info"}},
        {"text": "Tell me of %in", "matches": set()},
    ]
    complete_code_samples = ["Hello", "", "%set seed=1", "%reset\nHi", "```\nx = 1\n```"]
    incomplete_code_samples = ["Hello \\", "```python", "What is this?\n```\nx = 1\n"]
    invalid_code_samples = ["%nosuch", "%reset\n%modle x"]
    code_page_something = "%set?"
    code_generate_error = "%model /no/such/model"
    code_execute_result = [
        {"code": "%version"},
        {"code": "%tokens a b", "result": '2 tokens\n     81  "a"\n    278  " b"'},
        {"code": "%tokens 日本", "mime": "text/html"},
    ]
    code_display_data = [
        {"code": "%info", "mime": "text/html"},
        {"code": "%info", "mime": "text/plain"},
    ]
    code_history_pattern = "%tokens a*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "%set"
    code_clear_output = "%clear"


class Welcome(jkt.IopubWelcomeTests):
    kernel_name = "llama-go"
    support_iopub_welcome = True


if __name__ == "__main__":
    loader = unittest.TestLoader()
    verdict(unittest.TestSuite([loader.loadTestsFromTestCase(LlamaGo), loader.loadTestsFromTestCase(Welcome)]))
