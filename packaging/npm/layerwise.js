#!/usr/bin/env node
// Starts the program, which is in the package of this platform. Nothing is downloaded or compiled.
"use strict";

const { spawnSync } = require("node:child_process");

const wanted = `@layerwise/${process.platform}-${process.arch}`;

function findProgram() {
  try {
    return require.resolve(`${wanted}/bin/${process.platform === "win32" ? "layerwise.exe" : "layerwise"}`);
  } catch {
    console.error(`layerwise: the package ${wanted} is not there. Either there is none for this platform, or optional dependencies were left out.`);
    return undefined;
  }
}

function start(program) {
  const { error, signal, status } = spawnSync(program, process.argv.slice(2), { stdio: "inherit" });
  if (error) {
    console.error(`layerwise: ${error.message}`);
    return 2;
  }
  // Whoever waits for this process sees how the program ended.
  if (signal) {
    process.kill(process.pid, signal);
  }
  return status ?? 2;
}

const program = findProgram();
process.exitCode = program ? start(program) : 2;
