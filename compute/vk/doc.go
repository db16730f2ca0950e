// Package vk is the thin layer between compute and a Vulkan driver: instances, devices, memory, pipelines and
// recorded command buffers, through github.com/vulkan-go/vulkan.
//
// It knows nothing of tensors, operations or plans; those live in package compute. Nothing above compute imports it.
// The binding's headers are Vulkan 1.1.88, so what is newer (feature and property chains, subgroup size control, the
// debug messenger) is a few lines of C in native.c, with the structures declared there.
//
// The order of use is
//
//	in, err := vk.Open(validate)        // loader, instance
//	infos := in.Devices()               // what there is and what each can do
//	dev, err := in.OpenDevice(i)        // one compute queue
//	buf, err := dev.NewBuffer(n, vk.DeviceLocal)
//	pipe, err := dev.Pipeline(module, spec, 0)
//	cmd := dev.NewCommands(timestamps)
//	cmd.Dispatch(...); cmd.Barrier(); err = cmd.Finish()
//	err = cmd.Run()                     // once a step: one cgo call, whatever was recorded
//
// Invariants: every Vulkan object dies with its Device; Run makes one cgo call; a Range handed to Dispatch is bound as
// the SPIR-V declares it (storage buffer or texel buffer), never as the caller says.
package vk
