// Command saltern pretrains large language models with a little help from small ones (SALT, arXiv 2410.18779).
package main

func main() {}
