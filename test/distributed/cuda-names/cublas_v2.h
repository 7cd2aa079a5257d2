#pragma once
typedef struct cublasContext* cublasHandle_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N };
enum cublasDiagType_t { CUBLAS_DIAG_UNIT };
enum cublasFillMode_t { CUBLAS_FILL_MODE_LOWER };
enum cublasSideMode_t { CUBLAS_SIDE_LEFT };
enum cublasPointerMode_t { CUBLAS_POINTER_MODE_HOST };
extern "C" cublasStatus_t cublasGetPointerMode(cublasHandle_t, cublasPointerMode_t*);
extern "C" cublasStatus_t cublasSetPointerMode(cublasHandle_t, cublasPointerMode_t);
