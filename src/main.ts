import { run } from './cli.ts'

// Who reads us may have seen enough, as `| head` has: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: { out: process.stdout.isTTY, err: process.stderr.isTTY },
})
