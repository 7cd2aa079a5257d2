"""llama-quantize as tests have it: IN OUT Q4_K_M, by the function of the library that llama.cpp's program calls."""
import ctypes
import glob
import sys

library, source, target, kind = sys.argv[1:]
for base in ("libggml-base.*", "libggml-cpu-x64.*", "libggml.*"):
    for path in glob.glob(f"{library}/{base}"):
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
llama = ctypes.CDLL(glob.glob(f"{library}/libllama.*")[0])


class Parameters(ctypes.Structure):
    """The beginning of llama_model_quantize_params, and room for the rest."""

    _fields_ = [("threads", ctypes.c_int32), ("kind", ctypes.c_int32), ("rest", ctypes.c_uint8 * 248)]


llama.llama_model_quantize_default_params.restype = Parameters
parameters = llama.llama_model_quantize_default_params()
parameters.threads = 1
parameters.kind = {"Q4_K_M": 15}[kind]
llama.llama_backend_init()
status = llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
sys.exit(status)
