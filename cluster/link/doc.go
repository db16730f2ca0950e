// Package link carries messages of any length from a rank to another, or to several at once, over NATS, in order, whole, and each exactly once.
//
// It knows nothing of what it carries (package collective does) nor of who runs the servers and who may speak to them (package
// cluster).
//
//	links, err := link.Open(conn, "saltern.job.link", rank, size, link.Options{})
//	err = links.Send(ctx, []int{2, 3}, "gradients", data) // on rank 1
//	n, err := links.Receive(ctx, 1, "gradients", into)     // on ranks 2 and 3
//	err = links.Close()
//
// Core NATS keeps nothing: what a slow client cannot take in time, and what is on its way when a connection breaks, is dropped
// without a word. So each stream, which is a name together with its sender and its receivers, counts its chunks:
//
//   - A message is cut into chunks of at most the server's max_payload. The chunk's number and how much of the message is left travel in
//     the reply subject, so that the payload is the caller's memory and the caller's memory is the payload.
//   - A receiver takes chunks in order of their numbers: a number it has is a duplicate, one beyond the next is kept until those before it
//     come.
//   - It tells the sender how many have arrived, when a message is complete, and how many were taken by Receive, every half window. Both
//     counts are cumulative: a lost one is made up for by the next.
//   - The sender keeps at most a window of chunks that were not taken by the slowest receiver. So what piles up at a slow receiver is bounded, and nothing is
//     dropped as long as the server's max_pending exceeds window, chunk and the streams in use to one rank, multiplied.
//   - What has not arrived when the connection comes back, or after a while without news, is asked for: the receiver answers with its
//     counts, and the sender sends again from there, to this receiver alone. This one question repairs every kind of loss, whichever of the
//     connections and routes on the way broke. Chunks are kept until they have arrived everywhere, in the caller's memory: Send
//     returns then. Only short messages are copied and left to travel alone.
//
// Every wait ends with its context, and after Options.Deadline without progress with a *Timeout: what was waited for, from whom,
// for how long, how far it was, and who is to blame, as far as it is known: ranks that wait ask those they wait for whether they are alive and
// whom they miss in turn. The wait for a rank that has left (Options.Left) ends with ErrLeft when nothing of it is under way any more.
//
// Subjects are prefix.FROM.TO.STREAM, all of them below the prefix; a rank subscribes to prefix.*.RANK.>. Where a stream is to several ranks, TO is a
// name that FROM has for this set of them: it invites each, who then subscribes to prefix.FROM.TO.> as well, and says so. What is published there enters the
// first server once, crosses each route once, and is delivered to each. Until all have said so, each is sent its own.
//
// Invariants a change must keep: nothing lost, doubled or out of order whatever the connections do (TestCuts, TestLossyNetwork), no more
// than a window unread (TestWindow, TestSlowest), what is for several published once (TestOnce), no wait without end (TestDeadPeer, TestCancel,
// TestLeft, and their likes among several), no bytes from the network trusted (FuzzHeader).
package link
