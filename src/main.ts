import { run } from './cli.ts'

// Who reads us may have seen enough, as `| head` has: that is no failure. A report that a full disk does not take is one, and no verdict.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') return
    if (stream === process.stdout) process.stderr.write(`meshvip: cannot write the output: ${message}\n`)
    process.exit(2)
  })
}

// Nothing is left to do: output is written, connections are closed. Where some had been reset, Node now and then spins for ever when it
// ends by itself and cleans up (nodejs/node issue 47748), and a pod would be killed for it.
process.once('beforeExit', () => process.exit())

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: { out: process.stdout.isTTY, err: process.stderr.isTTY },
})
