// Package place gives each rank of a node a GPU of its own, of those that the queue or the user has granted.
//
// Vulkan's loader lists every GPU that the process may open, and reads none of the variables by which CUDA, ROCm and oneAPI are kept to
// some of them. Slurm sets these, and people do, so they are read here, each in its vendor's meaning, and mapped to Vulkan's devices by
// PCI address and UUID. Which ranks there are is not known here (package cluster), nor what a device can do (package compute).
//
//	n := place.Node{Devices: list, Env: os.LookupEnv, Sys: os.DirFS("/sys")}
//	choice, err := n.ForRank(localRank) // choice.Index is Vulkan's
//
// Invariants, each with its test:
//
//  1. What a variable hides is never chosen, and what it says that cannot be mapped is an error, never a guess: TestGranted.
//  2. Local ranks below the number of GPUs get different ones, in one order for all ranks of the node: TestForRank.
//  3. A GPU that two drivers offer is one GPU: TestTwins.
//  4. What a driver offers only to compile for is no GPU: TestCapturedNodes.
//  5. Two ranks on one GPU are found, whoever chose it: TestShared.
//
// Sources: CUDA C++ Programming Guide, "CUDA Environment Variables"; ROCm documentation, "GPU isolation techniques"; oneAPI Level Zero
// Specification, "Environment Variables"; Slurm, "Generic Resource (GRES) Scheduling" and srun(1).
package place
