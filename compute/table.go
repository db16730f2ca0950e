package compute

// Table lists every operation, in reading order. The executors, the tests, the benchmarks and doctor walk it; adding an
// operation is its four files and one line here.
var Table = []*Op{
	opMatMul,
	opActivationGrad,
	opCast,
	opAdd,
	opSumRows,
	opEmbed,
	opEmbedGrad,
	opRMSNorm,
	opRMSNormGrad,
	opLayerNorm,
	opLayerNormGrad,
	opQKNorm,
	opQKNormGrad,
	opRope,
	opAttention,
	opAttentionDot,
	opAttentionGradKV,
	opAttentionGradQ,
	opSwiGLU,
	opSwiGLUGrad,
	opSoftmax,
	opNLLRank,
	opTopK,
	opSample,
	opSoftmaxLoss,
	opSumSquares,
	opClipControl,
	opAdamW,
}

// Find is the operation of that name, or nil.
func Find(name string) *Op {
	for _, op := range Table {
		if op.Name == name {
			return op
		}
	}
	return nil
}
