/** Import before anything of libtorch: the addon's own matrix products are in use, on Intel's processors too. */
// read when the addon loads
process.env["PREFTUNE_MATMUL"] = "onednn";
