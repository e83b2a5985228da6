// Runs a command in each of Node's ways. Usage: node exec_runs.js COMMAND
const { execFileSync, execSync, spawnSync, spawn } = require("child_process");
const [command, ...rest] = process.argv[2].split(" ");
const text = { encoding: "utf8" };
console.log(execSync(process.argv[2], text));
console.log(execFileSync(command, rest, { ...text, env: { ONLY: "this" } }));
console.log(spawnSync(command, rest, text).stdout, Object.keys(process.env).filter((name) => /RBINDER|PRELOAD/.test(name)));
spawn(command, rest, { stdio: "inherit" }).on("close", (status) => console.log(status));
