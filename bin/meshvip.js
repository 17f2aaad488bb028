#!/usr/bin/env node
// Plain JavaScript for any Node, so that one that cannot run the rest says so in a sentence and not by a stack trace. It is the same here
// and in the package that is published: each has its own package.json, which says what is needed and where the rest is.
import { readFileSync } from 'node:fs'

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const needed = engines.node.replace('>=', '')
const [major, minor = 0] = needed.split('.').map(Number)
const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number)

if (ownMajor < major || (ownMajor === major && ownMinor < minor)) {
  process.stderr.write(
    `meshvip: Node ${needed} or newer is needed, and this is ${process.versions.node}: install it, or in a checkout on Linux use "npm start" after "npm ci", which brings one along\n`,
  )
  process.exitCode = 2
} else {
  await import('#main')
}
