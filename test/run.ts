/**
 * All of the project's checks, each stage even after one before it failed: `node test/run.ts [STAGE ...]`; without a name all but those
 * that take minutes. The last line counts the assertions of all tests, in words that any CI reads.
 */
import { spawn } from 'node:child_process'
import { glob, mkdir, readFile, rm } from 'node:fs/promises'
import { findOrBuildOracle } from './istio/oracle.ts'
import { findOrBuildBinaries } from './testbed/binaries.ts'
import type { Log } from './testbed/cache.ts'
import { findOrBuildChartTools } from './testbed/chart-tools.ts'

type Count = { passed: number; failed: number; skipped: number }
type Result = Count & { ok: boolean; failures?: string[] }

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const run = (command: string, args: string[]): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit' })
    child.once('error', reject)
    child.once('close', (code) => resolve(code === 0))
  })

const check = async (command: string, ...args: string[]): Promise<Result> => ({
  ok: await run(command, args),
  passed: 0,
  failed: 0,
  skipped: 0,
})

/** Each failed assertion of a TAP stream, with what it says of itself; what is above it (its test, its file) in its own lines. */
const failuresIn = (text: string): string[] =>
  [...text.matchAll(/^( *)not ok .*\n(?:\1 {2}---\n(?:.*\n)*?\1 {2}\.\.\.\n)?/gm)].map(([failure]) => failure.trimEnd())

/** Runs tap, and reads the totals at the end of its output; no total means that no test was run. */
const tap = async (name: string, ...args: string[]): Promise<Result> => {
  const output = `.tap/${name}.tap`
  await mkdir('.tap', { recursive: true })
  await rm(output, { force: true })
  const ended = await run('tap', ['--reporter=min', `--output-file=${output}`, ...args])
  const text = await readFile(output, 'utf8').catch(() => '')
  const totals = text.match(/^# \{ total: .* \}$/gm)?.at(-1) ?? ''
  const count = (word: string) => Number(new RegExp(`\\b${word}: (\\d+)`).exec(totals)?.[1] ?? 0)
  return {
    ok: ended && count('total') > 0,
    passed: count('pass'),
    failed: count('fail'),
    skipped: count('skip') + count('todo'),
    failures: failuresIn(text),
  }
}

/** Tests that need programs: where these are neither there nor possible to build, it says so, loudly. */
const tapWith = async (
  find: (log: Log) => Promise<object | string>,
  what: string,
  name: string,
  files: string,
  ...args: string[]
): Promise<Result> => {
  let found: object | string
  try {
    found = await find(print)
  } catch (error) {
    print(error instanceof Error ? error.message : String(error))
    return { ok: false, passed: 0, failed: 0, skipped: 0 }
  }
  if (typeof found === 'object' && 'missing' in found) {
    print(`\n!!! SKIPPED: ${what}. ${found.missing}\n`)
    return { ok: true, passed: 0, failed: 0, skipped: 1 }
  }
  return tap(name, '--disable-coverage', ...args, ...(await Array.fromAsync(glob(files))).sort())
}

const istio = (): Promise<Result> =>
  tapWith(
    findOrBuildOracle,
    "the tests against Istio's own configuration generator",
    'istio',
    'test/istio/*oracle.test.ts',
    '--timeout=1800',
  )

const endToEnd = (): Promise<Result> =>
  tapWith(
    findOrBuildBinaries,
    'the tests on a real API server',
    'e2e',
    'test/e2e/*.test.ts',
    '--jobs=1',
    '--timeout=600',
  )

const chart = (): Promise<Result> =>
  tapWith(
    async (log) => {
      const binaries = await findOrBuildBinaries(log)
      return 'missing' in binaries ? binaries : findOrBuildChartTools(log)
    },
    'the tests of the Helm chart',
    'chart',
    'test/chart/*.test.ts',
    '--jobs=1',
    '--timeout=600',
  )

const chaos = (): Promise<Result> =>
  tapWith(
    findOrBuildBinaries,
    'the tests under fire on a real API server',
    'chaos',
    'test/chaos/*.test.ts',
    '--jobs=1',
    '--timeout=900',
  )

const stages: Record<string, () => Promise<Result>> = {
  types: () => check('tsc'),
  lint: () => check('biome', 'check', '--error-on-warnings'),
  unit: () => tap('unit'),
  istio,
  e2e: endToEnd,
  chart,
}

/** These take minutes: they are run where they are asked for. */
const optional: typeof stages = { chaos }

const all = { ...stages, ...optional }
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(all, name))
if (unknown.length > 0) {
  process.stderr.write(`no stage ${unknown.join(', ')}; there are ${Object.keys(all).join(', ')}\n`)
  process.exit(2)
}
const results: Result[] = []
for (const [name, stage] of Object.entries(asked.length === 0 ? stages : all)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  print(`\n== ${name}`)
  const started = performance.now()
  const result = await stage()
  print(`== ${name}: ${result.ok ? 'ok' : 'FAILED'} in ${Math.round((performance.now() - started) / 1000)} s`)
  results.push(result)
}
// Once more at the end: of a long output, that is what a CI keeps.
for (const failure of results.flatMap(({ failures = [] }) => failures)) print(`\n${failure}`)
const sum = (key: keyof Count) => results.reduce((total, result) => total + result[key], 0)
const broken = results.filter(({ ok, failed }) => !ok && failed === 0).length
print(`${sum('passed')} passed, ${sum('failed') + broken} failed, ${sum('skipped')} skipped`)
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1
