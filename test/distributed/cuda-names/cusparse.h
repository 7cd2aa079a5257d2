#pragma once
typedef struct cusparseContext* cusparseHandle_t;
enum cusparseStatus_t { CUSPARSE_STATUS_SUCCESS };
extern "C" const char* cusparseGetErrorString(cusparseStatus_t);
