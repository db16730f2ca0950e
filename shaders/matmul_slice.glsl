// Slices of the operands of a matrix product of 16-bit floats, staged in workgroup memory in the order in which they are
// stored, eight numbers to a uvec4. Whoever includes this defines BM, BN, BK (the workgroup's tile), PAD and TRANS_A, TRANS_B.
layout(binding = 0) readonly buffer A { uvec4 a[]; };
layout(binding = 1) readonly buffer B { uvec4 b[]; };

const uint GROUP = gl_WorkGroupSize.x;
// A slice of an operand: so many rows as stored, of so many uvec4.
const uint ROWS_A = TRANS_A == 1 ? BK : BM, COLS_A = (TRANS_A == 1 ? BM : BK) / 8;
const uint ROWS_B = TRANS_B == 1 ? BN : BK, COLS_B = (TRANS_B == 1 ? BK : BN) / 8;
const uint EACH_A = (ROWS_A * COLS_A + GROUP - 1) / GROUP, EACH_B = (ROWS_B * COLS_B + GROUP - 1) / GROUP;
const uint STRIDE_A = COLS_A + PAD, STRIDE_B = COLS_B + PAD;
shared uvec4 sa[ROWS_A * STRIDE_A];
shared uvec4 sb[ROWS_B * STRIDE_B];

// fetch reads this invocation's part of a slice that starts at row r0 and column c0 (in uvec4) of a stored matrix of the
// given bounds; what is outside is 0.
#define FETCH(to, each, rows, cols, from, r0, c0, rbound, cbound, ld, column) \
	[[unroll]] for (uint i = 0; i < each; i++) { \
		uint at = i * GROUP + gl_LocalInvocationID.x, r = at / cols, c = at % cols; \
		to[i] = at < rows * cols && r0 + r < rbound && c0 + c < cbound ? from[column / 8 + (r0 + r) * (ld / 8) + c0 + c] : uvec4(0); \
	}
#define STAGE(to, each, rows, cols, stride, from) \
	[[unroll]] for (uint i = 0; i < each; i++) { \
		uint at = i * GROUP + gl_LocalInvocationID.x; \
		if (at < rows * cols) to[at / cols * stride + at % cols] = from[i]; \
	}
#define FETCH_A(k0) FETCH(ra, EACH_A, ROWS_A, COLS_A, a, (TRANS_A == 1 ? k0 : m0), (TRANS_A == 1 ? m0 : k0) / 8, (TRANS_A == 1 ? K : M), (TRANS_A == 1 ? M : K) / 8, lda, start_a())
#define FETCH_B(k0) FETCH(rb, EACH_B, ROWS_B, COLS_B, b, (TRANS_B == 1 ? n0 : k0), (TRANS_B == 1 ? k0 : n0) / 8, (TRANS_B == 1 ? N : K), (TRANS_B == 1 ? K : N) / 8, ldb, start_b(0))
