import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './cache.ts'
import { tail } from './processes.ts'

export type GoModule = {
  /** Where its go.mod is. */
  folder: string
  /** The `go` line, major and minor, such as `1.26`. */
  go: string
  /** go.mod and go.sum: they fix every byte that is built. */
  content: string
  /** The version that go.mod requires of a module; throws where it requires none. */
  version: (module: string) => string
}

export const readGoModule = async (folder: string): Promise<GoModule> => {
  const path = join(folder, 'go.mod')
  const mod = await readFile(path, 'utf8')
  const sum = await readFile(join(folder, 'go.sum'), 'utf8')
  const go = /^go (\d+\.\d+)/m.exec(mod)?.[1]
  if (go === undefined) throw new Error(`${path} has no go line`)
  const version = (module: string): string => {
    const line = mod.split('\n').find((l) =>
      l
        .replace(/^require /, '')
        .trim()
        .startsWith(`${module} v`),
    )
    const found = line === undefined ? undefined : /(v\S+)/.exec(line.slice(line.indexOf(`${module} `) + module.length))
    if (found?.[1] === undefined) throw new Error(`${path} does not require ${module}`)
    return found[1]
  }
  return { folder, go, content: `${mod}\n${sum}`, version }
}

/**
 * Undefined where a Go new enough for go.mod answers, else why not. A Go that may fetch its own toolchain (GOTOOLCHAIN)
 * does so in this call, since it runs inside the module.
 */
export const whyNoGo = async ({ folder, go: wanted }: GoModule): Promise<string | undefined> => {
  let answer: GoResult
  try {
    answer = await spawnGo(folder, ['env', 'GOVERSION'], 'pipe')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'Go is not installed'
    throw error
  }
  const found = answer.stdout.trim()
  if (answer.code !== 0) return `Go fails: ${answer.stderr.trim().split('\n').at(-1)}`
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(found) ?? []).slice(1).map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number)
  const enough = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
  return enough ? undefined : `the Go here is ${found}`
}

/** Runs go in a module and returns its stdout. All it says goes to `logFile`; a failure quotes its end. */
export const runGo = async ({ folder }: GoModule, args: string[], logFile: string): Promise<string> => {
  await appendFile(logFile, `$ go ${args.join(' ')}\n`)
  const fd = openSync(logFile, 'a')
  let result: GoResult
  try {
    result = await spawnGo(folder, args, fd)
  } finally {
    closeSync(fd)
  }
  await appendFile(logFile, result.stdout)
  if (result.code !== 0) {
    throw new Error(`go ${args[0]} failed (${result.code}); the end of ${logFile}:\n${await tail(logFile)}`)
  }
  return result.stdout
}

type GoResult = { code: number | string; stdout: string; stderr: string }

const spawnGo = (folder: string, args: string[], stderrTo: 'pipe' | number): Promise<GoResult> =>
  new Promise((resolve, reject) => {
    const child = spawn('go', args, { cwd: folder, stdio: ['ignore', 'pipe', stderrTo] })
    const result: GoResult = { code: 'not ended', stdout: '', stderr: '' }
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      result.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      result.stderr += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ ...result, code: code ?? signal ?? 'no exit code' }))
  })
