// Generated in a torch with CUDA; c10's other headers of CUDA are in every torch.
#pragma once
#define C10_CUDA_BUILD_SHARED_LIBS
