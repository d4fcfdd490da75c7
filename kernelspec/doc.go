// Package kernelspec makes llama-go known to Jupyter: it writes kernel.json and
// the logos where Jupyter looks, removes them, lists what is installed, and
// examines a machine for `llama-go doctor`. It imports nothing of ours but
// internal/, starts no kernel and opens no model.
package kernelspec
