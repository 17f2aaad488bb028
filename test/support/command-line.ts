import { run } from '../../src/cli.ts'

const signals = ['SIGINT', 'SIGTERM'] as const

/** Runs the command line in this process, and takes away what it listens to: the signals of this process are the test runner's. */
export const runHere = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  const before = signals.map((signal) => process.listeners(signal))
  let [out, err] = ['', '']
  const code = await run(args, {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  signals.forEach((signal, index) => {
    for (const listener of process.listeners(signal)) {
      if (!before[index]?.includes(listener)) process.off(signal, listener)
    }
  })
  return { code, out, err }
}
