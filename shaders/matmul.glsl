// What every variant of the matrix product is told.
layout(push_constant) uniform P {
	uint M, N, K;       // of this block
	uint lda, ldb, ldy; // elements per stored row of A, B, y
	uint ca, cb, cy;    // column at which the block starts in A, B, y
	uint add;           // 1: the addend is added
};
