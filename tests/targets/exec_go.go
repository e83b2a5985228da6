// Runs the command in its arguments, and ends with its status.
package main

import "C"
import (
	"os"
	"os/exec"
)

func main() {
	command := exec.Command(os.Args[1], os.Args[2:]...)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		os.Exit(command.ProcessState.ExitCode())
	}
}
