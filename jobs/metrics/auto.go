package metrics

import "fmt"

// The keys of transition "auto", in the record of the step that ends a window: what was seen in the window, as package distill has it.
// Those that need the teacher's whole distribution are missing with soft labels. With InBucket, tau, lead and their errors are those of a
// class of tokens, by their teacher's entropy.
const (
	Tau            = "auto/tau"             // 1: the text sides with the teacher; 0: with the student; above 1: beyond the teacher
	TauError       = "auto/tau_error"       // its standard error over sequences, as is LeadError
	Lead           = "auto/lead"            // nats per token that the teacher is ahead: the student's NLL less the teacher's
	LeadError      = "auto/lead_error"      //
	Overtaken      = "auto/overtaken"       // forecast: after which part of the training, at most 1, the lead is used up
	VarianceNLL    = "auto/variance_nll"    // of the sequences' mean NLL
	VarianceLoss   = "auto/variance_loss"   // of the sequences' mean loss, the teacher's part included
	Bias           = "auto/bias"            // nats per token, CE(q, p) - NLL
	TotalVariation = "auto/total_variation" // of student and teacher: the sum of the next two
	StudentWitness = "auto/student_witness" // at least so far is the student from the data, in total variation
	Divergence     = "auto/divergence"      // at least so far is the teacher
	BrierStudent   = "auto/brier_student"   // Brier scores; student - teacher = 2 Twin - Apart
	BrierTeacher   = "auto/brier_teacher"   //
	Twin           = "auto/twin"            // |p|^2 - p.q - p(y) + q(y)
	Apart          = "auto/apart"           // |p-q|^2
	BucketWeight   = "auto/w"               // w in a bucket, in this window
	BucketShare    = "auto/share"           // of a bucket in this window's tokens
)

// InBucket is a key's form for a bucket, counted from 0, the lowest entropies first.
func InBucket(key string, bucket int) string { return fmt.Sprintf("%s.%d", key, bucket) }
