import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))

export type Ending = { code: number | null; signal: NodeJS.Signals | null }

/** meshvip as a process of its own. */
export class MeshvipProcess {
  stdout = ''
  stderr = ''
  readonly #child: ChildProcess
  readonly #ended: Promise<Ending>

  constructor(args: readonly string[], { entry, nodeOptions }: { entry: string; nodeOptions: readonly string[] }) {
    this.#child = spawn(process.execPath, [...nodeOptions, entry, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    // It does not outlive the test, however that ends.
    const killAtExit = () => this.kill('SIGKILL')
    process.once('exit', killAtExit)
    this.#ended = once(this.#child, 'close').then(([code, signal]): Ending => {
      process.off('exit', killAtExit)
      return { code, signal }
    })
  }

  /** Resolves once the standard output matches; rejects where the process ends without. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout)
      if (match !== null) return match
      const more = once(this.#child.stdout as NodeJS.ReadableStream, 'data').then(() => undefined)
      const ending = await Promise.race([more, this.#ended])
      if (ending !== undefined) throw new Error(`meshvip ended: ${JSON.stringify(ending)} ${this.stdout}${this.stderr}`)
    }
  }

  /** The log lines so far. */
  get log(): Record<string, unknown>[] {
    // What follows the last newline is still being written; what is no JSON is for the user who started it.
    const lines = this.stdout.split('\n').slice(0, -1)
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** Closes the other end of its standard output. */
  stopReading(): void {
    this.#child.stdout?.destroy()
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  ended(): Promise<Ending> {
    return this.#ended
  }
}

/** Starts meshvip, for as long as the test lasts at most. */
export const startMeshvip = (
  t: Test,
  args: readonly string[],
  { entry = 'src/main.ts', nodeOptions = [] }: { entry?: string; nodeOptions?: readonly string[] } = {},
): MeshvipProcess => {
  const meshvip = new MeshvipProcess(args, { entry, nodeOptions })
  t.teardown(async () => {
    meshvip.kill('SIGKILL')
    await meshvip.ended()
  })
  return meshvip
}
