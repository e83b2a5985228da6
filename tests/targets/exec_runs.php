<?php
// Runs a command in each of PHP's ways. Usage: php exec_runs.php COMMAND
$command = $argv[1];
exec($command, $lines, $status);
echo implode("\n", $lines), "\nexec $status\n";
echo shell_exec($command), "shell_exec\n";
passthru($command, $status);
echo "passthru $status\n";
echo stream_get_contents(popen($command, "r")), "popen\n";
$process = proc_open(explode(" ", $command), [1 => ["pipe", "w"]], $pipes, null, ["ONLY" => "this"]);
echo stream_get_contents($pipes[1]), "proc_open ", proc_close($process), "\n";
echo implode(" ", array_filter(array_keys(getenv()), fn($name) => preg_match("/RBINDER|PRELOAD/", $name))), "\n";
