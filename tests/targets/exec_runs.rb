# Runs a command in each of Ruby's ways. Usage: ruby exec_runs.rb COMMAND
command = ARGV[0]
$stdout.sync = true
puts `#{command}`, system(command), system({ "ONLY" => "this" }, *command.split, unsetenv_others: true)
puts IO.popen(command).read
Process.wait(spawn(command))
puts $?.exitstatus
Process.wait(fork { exec(*command.split) })
puts $?.exitstatus, ENV.keys.grep(/RBINDER|PRELOAD/).inspect
