// Package compute records a program of tensor operations once, plans its memory and order, and replays it on a Vulkan
// device every step; the same program also runs on the float64 reference.
//
// It knows nothing of models, tokens or networks: those are in model, distill and cluster. Driver calls are in
// compute/vk, the definitions of the operations in compute/ref, the GLSL in shaders.
//
//	r := compute.NewRecorder()
//	y := r.MatMul(x, w, compute.NT)     // operations on symbolic tensors, one node each
//	r.Backward()                        // the tape in reverse, at record time
//	p, err := r.Finish()                // passes, liveness, arena: peak memory is known here
//	exes, err := dev.Load(p)            // kernels chosen, command buffer recorded
//	dev.WriteU32(ids, batch)
//	err = exes[0].Run()                 // one cgo call, whatever was recorded
//	dev.Read(loss, out)
//
// A program may be cut where a storage is complete (Program.CutAfter), and then run a segment at a time: what is complete can be read
// and leave while the rest computes.
//
// Tensors are row-major and dense; elements are float32, uint32, float16 or bfloat16. Letters: N tokens, D width, V
// vocabulary, H heads, T sequence; for a matrix product M x K times K x N.
//
// Invariants, each with the test that checks it:
//  1. An operation is one entry of Table: shapes, kernels, reference, gradient, cost, cases (TestTableIsComplete).
//  2. Every kernel that runs has reproduced the reference on this very device (TestKernels; the tuner before use).
//  3. Same program, same device, same kernels: the same bits (the runner replays each case three times), cut or not (TestCutAfter).
//  4. No kernel writes outside its outputs (guard words around every tensor in the runner).
//  5. Planned memory is what is then allocated, within 2% (TestPlannedMemoryIsAllocated in model).
//  6. What Run allocates on the Go heap does not grow with the program (TestStepDoesNotAllocate in model).
//
// Sources: the reversed tape is ordinary reverse-mode differentiation; fusing the output projection with the loss over
// chunks of tokens follows arXiv 2410.10989.
package compute
