// Package model holds the decoder-only transformer: its shape, its training schedule, its layers, its optimizer, its
// checkpoints.
//
// What a teacher adds to the loss is not here but in distill; kernels and devices are in compute; text becomes tokens in
// model/token, batches in model/corpus, and examples of other objectives than the next token in model/ul2; which job runs when is in
// jobs.
//
// Config is the shape of a model and TrainConfig the way it is trained. Both are plain values with three duties: the
// comment of each field is its reference page, Defaults resolves what was left out, and Check reports every problem at
// once. Use them in that order; all else takes resolved values.
//
// One letter per dimension, here and in every comment of the project: B batch, T sequence, N tokens (B times T), D
// width, H heads, F hidden size of the feed-forward network, V vocabulary, L layers.
//
// Several ranks train one model where a Trainer is put Across them: each runs its share of the microbatches, and an Exchange sums
// gradients and statistics. Model.Shard, before anything is recorded, divides the optimizer's state among them.
//
// Invariants: ranks see the losses of one with the same batch but for their last digits, sharded or not, and all the same bits
// (TestRanksTrainAsOne); no row sees the token that it is to predict, whatever the objective (TestModelCannotPeek); LearningRate depends on
// nothing but the step (TestLearningRate); a preset counts what its name says (TestPresetsCountWhatTheirNamesSay).
package model
