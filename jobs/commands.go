package jobs

// commands returns every command and help topic, in the order in which help lists them.
func commands() []*Command {
	return []*Command{
		runCommand(),
		trainCommand(),
		evaluateCommand(),
		generateCommand(),
		configCommand(),
		versionCommand(),
		helpCommand(),

		jobFileTopic(),
		exitCodesTopic(),
		environmentTopic(),
	}
}
