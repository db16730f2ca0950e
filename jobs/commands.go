package jobs

// commands returns every command and help topic, in the order in which help lists them.
func commands() []*Command {
	return []*Command{
		prepareCommand(),
		planCommand(),
		runCommand(),
		trainCommand(),
		finetuneCommand(),
		compareCommand(),
		watchCommand(),
		labelCommand(),
		launchCommand(),
		scoreCommand(),
		selectCommand(),
		evaluateCommand(),
		generateCommand(),
		exportCommand(),
		devicesCommand(),
		doctorCommand(),
		tuneCommand(),
		kernelsCommand(),
		benchCommand(),
		submitCommand(),
		configCommand(),
		versionCommand(),
		helpCommand(),

		jobFileTopic(),
		exitCodesTopic(),
		environmentTopic(),
	}
}
