// Says how it was started, and ends. Usage: node nothing_node.cjs; or loaded before another program.
"use strict";

console.log(process.env.NODE_OPTIONS, process.execArgv, process._preload_modules);
