import { spawn } from 'node:child_process'

export type ProgramResult = { code: number; stdout: string; stderr: string }

const LIMIT_MS = 120_000

/**
 * Runs a program to its end with nothing but `env` in its environment and `input` as its stdin. An exit code other than 0 is a result
 * and not an error; the promise rejects where the program cannot be started, or is ended by a signal (after two minutes).
 */
export const runProgram = (
  program: string,
  args: string[],
  { env, input = '' }: { env: NodeJS.ProcessEnv; input?: string | undefined },
): Promise<ProgramResult> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, timeout: LIMIT_MS, killSignal: 'SIGKILL' })
    const result = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        result[name] += text
      })
    }
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code !== null) resolve({ code, ...result })
      else reject(new Error(`${program} ${args.join(' ')} was ended by ${signal}: ${result.stderr}`))
    })
    // A program that fails before it reads its input closes the pipe; its exit code tells why.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') reject(error)
    })
    child.stdin.end(input)
  })
