// Package distill is SALT (arXiv 2410.18779): what a small language model adds to the training of a large one.
//
// It decides how much of the loss is the teacher's at which step, and which text the student reads meanwhile. It does not know
// devices (compute), layers (model), ranks (cluster) or the order of a job's parts (jobs).
//
// Config is read first: Defaults resolves it, Check reports every problem, WeightAt then gives w for each step of
//
//	loss = (1-w) NLL(y) + w CE(q_T, p)
//
// with student p, teacher q at temperature T, gold token y. Objective records it, of a Source: Online is the teacher beside the student. Offline does
// without: a Labeler has made sparse soft labels before, which package labels keeps and a Feed reads ahead of the steps.
//
// Or they come from other ranks while the student trains: Roles says who labels what for whom, a Publisher labels and sends, a Subscriber
// receives into the same Feed, and their Mail is whatever carries messages from rank to rank.
//
// Config.Teacher says who teaches; Smoothing is the source that knows nothing, label smoothing.
//
// With transition "auto" WeightAt is what w can be at most. Adaptive records the loss with a weight for each class of tokens, and
//
//	for each step { for each microbatch { adaptive.Collect(&sums) }; window = auto.Step(done, sums, rule) }
//
// Sums are what the step's tokens say before its update, Auto is what was decided by them: when the teacher stops helping, and with
// which tokens first.
//
// With "salt-ds" the first steps read what an early checkpoint of the SLM selects: Candidates says which sequences it may judge,
// package scores keeps its judgement, and
//
//	for each candidate { ranked = append(ranked, Scored{id, rule.Score(s)}) }
//	Rank(ranked)                                        the first rule.Keep are selected
//
// Invariants:
//
//  1. The weight is a pure function of the step, so all ranks and every resumed run agree on it (TestWeightAt); with "auto", of the step
//     and of sums over whole batches, which go through checkpoints (TestRanksDecideAlike, TestRestartDecidesAlike).
//  2. A sequence's labels depend on seed and place in the text alone (TestLabelsDoNotDependOnCompany).
//     They have the same bits, read from a file or sent by another rank (TestTeachersOnOtherRanks).
//  3. No token is judged that the early SLM was trained to predict (TestCandidates).
//  4. No token is weighed by its own label: a teacher that is right stays the mean of the targets (TestPolicyGradient).
//  5. A selection depends on scores and ids alone, not on the order in which they come (TestRankBreaksTies).
//  6. w = 0 is plain training, bit for bit, and a teacher that is the student leaves no gradient (TestZeroWeightIsPlain,
//     TestTeacherSeesTheSameMasks).
package distill
