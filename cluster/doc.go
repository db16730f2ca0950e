// Package cluster brings the processes of a job, its ranks, together over NATS: who they are, how they find each other, and a
// connection on which each reaches each.
//
// What ranks say to each other is not here, and what a rank computes is nothing to this package: it knows neither tensors nor
// models. Config is the table [cluster] of the job file. Identity is which rank a process is; whoever starts the ranks sets it.
// Join returns a Cluster, or why there is none:
//
//	id, several, err := cluster.FromEnv(os.LookupEnv)
//	c, err := cluster.Join(ctx, id, job.Cluster, logf)     // returns on all ranks, or fails on all
//	defer c.Close()                                        // or c.Leave(err), which ends the others with that reason
//	work(c.Context())                                      // ends when a rank is lost, with a *RankLost as cause
//	c.Conn().Publish(c.Subject("grads.0.1"), chunk)        // at most c.Conn().MaxPayload() bytes
//
// Nothing has to be running before. The first rank of each node runs a NATS server within its process, at ports that are free, and
// speaks to it without a socket and without TLS; so do the node's other ranks, through memory that they share with it (near.go, package
// memconn). The servers of several nodes have routes each to each, by TLS, so that a message crosses the network once. With Config.URL
// nobody runs a server.
//
// Rank 0 makes credentials for this one attempt at the job: an nkey that all ranks share, a certificate that all servers show and
// that alone is trusted, a password for routes. It writes them and its address to a file in Identity.Dir, JOB.json; the others look for
// that file, connect to rank 0, and say hello until they are answered that all are there, that all servers run, and that all are
// connected through their own. Rank 0 compares what they say (world size, version, job file, places) and fails all of them at the
// first thing that does not fit.
//
// From then on each rank sends beats, and hears all, its own too. One that is silent for Config.Heartbeat, or leaves with a reason,
// ends Context on all others. Who hears not even itself blames its server. The roster of who has come and the pulse of who was
// heard are values in, values out; join.go and beat.go are the thin loops around them.
//
// Regroup lets those that are left go on: rank 0 says who is in the next View, and Context lasts anew. Beats carry the number of the view,
// so that who was left out, or has not noticed the loss, learns of it. With Config.Elastic a process may come for a lost rank's number: it says
// hello as at the beginning, and again until it is in a view that Admit has made, on which the others agree when it suits them.
//
// Who watches is no rank: Cluster.Invite leaves an nkey of another kind in the run folder, with which Attach hears what the ranks
// say of themselves (package status) and can do nothing else (TestObserver).
//
// What holds, and must go on holding:
//
//  1. Who has not the credentials neither reads nor sends: plaintext, no nkey and another job's are refused
//     (TestOthersAreRefused), and through memory the latter two (TestOthersAreRefusedNear), and another user at either end (memconn's
//     TestOtherUser).
//     With them, only subjects below saltern.JOB. are allowed.
//
//  2. The file of credentials is its owner's alone from the first byte, appears whole, and is used only if nobody else could read or
//     write it (TestCredentialsFile). It is neither locked nor mapped, as it may lie on NFS.
//
//  3. What an earlier attempt left behind does no harm: its file leads to no server, or to one that does not answer for this job,
//     and is read again until rank 0 has replaced it (TestStaleFile). Credentials of two attempts never fit each other.
//
//  4. Every wait ends, with an error that names who was waited for and what to do (TestJoinFails).
//
//  5. A rank that is killed, stopped or cut off is named by all others within the heartbeat (TestLostProcess, TestNamespaces), and
//     one that only was busy for as long as a beat or two is not (TestPulse).
//
//  6. The servers hold a window of every rank for one that reads nothing (TestWindows).
//
//  7. After Regroup all that are in a view know the same ranks, and who is not in it does not stay in an older one (TestRegroup,
//     TestRegroupLateNews).
//
//  8. After Admit a newcomer is a rank like the others, and nobody has the number of one that is there (TestAdmit,
//     TestAdmitWithoutWaiting). What had the number before ends nobody (TestAdmitThoughOneIsLost).
//
// Core NATS loses messages of a receiver that does not keep up, and all that is under way when a connection breaks; whoever sends
// through a Cluster must number and acknowledge.
//
// TLS costs about as much again as the rest of the way by TCP: 1 MiB from one process to another of the same node took 1.2 ms of CPU without
// it and 2.3 ms with it, servers and both ends together. Through memory it takes less still (docs/PERFORMANCE.md, "Sharing gradients").
//
// Sources: NATS's own pages on clustering, nkeys and TLS (docs.nats.io).
package cluster
