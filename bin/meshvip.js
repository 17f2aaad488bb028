#!/usr/bin/env node
// Plain JavaScript for any Node, so that one that cannot run the rest says so in a sentence and not by a stack trace.
const needed = 24

if (Number(process.versions.node.split('.')[0]) < needed) {
  process.stderr.write(
    `meshvip: Node ${needed} or newer is needed, and this is ${process.versions.node}: install it, or on Linux use "npm start" after "npm ci", which brings one along\n`,
  )
  process.exitCode = 2
} else {
  await import('../src/main.ts')
}
