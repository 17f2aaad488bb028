import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { readPolicy } from '../config/read.ts'
import { cannotRead } from '../kubernetes/cannot-read.ts'
import { ApiError, KubernetesClient } from '../kubernetes/client.ts'
import { loadKubectlConfig, ownNamespace } from '../kubernetes/config.ts'
import { readSources, shownUnreadable } from '../manifests/sources.ts'
import { UsageError } from '../usage-error.ts'
import { check, isAtLeast, type Report, type Severity } from './check.ts'
import { type Format, formatNames, formats } from './formats/index.ts'

/** A format, and the file that it is written to; the standard output where there is none. */
export type Target = { format: Format; file?: string }

export type CheckFlags = {
  live?: true
  kubeconfig?: string
  complete?: true
  config?: string
  namespace?: string
  output: readonly Target[]
  failOn: 'deny' | 'warn'
  unlistedNamespaces: 'selected' | 'ignored'
}

/** Where a command reads and writes. */
export type Terminal = {
  stdin: AsyncIterable<Uint8Array>
  out(text: string): void
  err(text: string): void
  /** Whether what is written there is shown to a person. */
  isTerminal: { out: boolean; err: boolean }
}

/** What is read of a cluster, for whoever lacks the right. */
const rights =
  'It takes get and list on namespaces, services, endpoints, endpointslices, virtualservices, serviceentries and destinationrules, and ' +
  'list on ipaddresses, cluster-wide'

/** Milliseconds for all that is read of a cluster. */
const readTimeout = 120_000

/** Milliseconds from one look at the progress to the next; what is over sooner shows none. */
const progressInterval = 500

/** Parses `FORMAT` or `FORMAT=FILE`. Throws an Error that says what it should be. */
export const parseTarget = (text: string): Target => {
  const [name = '', ...rest] = text.split('=')
  const format = formatNames.find((one) => one === name)
  if (format === undefined) throw new Error(`write FORMAT or FORMAT=FILE, with a FORMAT of ${formatNames.join(', ')}.`)
  const file = rest.join('=')
  if (rest.length > 0 && file === '') throw new Error(`say which file after ${format}=.`)
  return file === '' ? { format } : { format, file }
}

const least: { readonly [F in CheckFlags['failOn']]: Severity } = { deny: 'error', warn: 'warning' }

const codeOf = ({ issues, unreadable }: Report, failOn: CheckFlags['failOn']): number => {
  if (unreadable.length > 0) return 2
  return issues.some(({ severity }) => isAtLeast(severity, least[failOn])) ? 1 : 0
}

/** Shows on a terminal how far a long check has come, in one line that goes when it is done. */
const showProgress = ({ err, isTerminal }: Terminal): { onProgress(what: string): void; end(): void } => {
  let last = performance.now()
  let isShown = false
  return {
    onProgress: (what) => {
      if (!isTerminal.err || performance.now() - last < progressInterval) return
      last = performance.now()
      isShown = true
      err(`\r\u001b[K${what}`)
    },
    end: () => {
      if (isShown) err('\r\u001b[K')
    },
  }
}

/** Checks manifests, and writes what is wrong with them. Resolves to the exit code. Throws UsageError, ConfigurationError or ApiError. */
export const runCheck = async (paths: readonly string[], flags: CheckFlags, terminal: Terminal): Promise<number> => {
  const { config, output, failOn, complete = false } = flags
  if (flags.kubeconfig !== undefined && flags.live === undefined)
    throw new UsageError('--kubeconfig says which cluster --live asks: give both')
  if (complete && flags.live !== undefined)
    throw new UsageError(
      '--complete and --live exclude each other: what is not given is either nowhere or in the cluster',
    )
  if (output.filter(({ file }) => file === undefined).length > 1)
    throw new UsageError(
      'one format only can go to the standard output: write the others to files, as in -o sarif=FILE',
    )
  const files = output.flatMap(({ file }) => (file === undefined ? [] : [resolve(file)]))
  if (new Set(files).size < files.length) throw new UsageError('two formats are to be written to the same file')
  const policy = await readPolicy(config)
  const { onProgress, end } = showProgress(terminal)
  const kubeConfig =
    flags.live === undefined
      ? undefined
      : loadKubectlConfig(flags.kubeconfig, 'check without a cluster, without --live')
  let report: Report
  try {
    report = await check(readSources(paths, terminal.stdin), {
      policy,
      // Where kubectl would apply it to.
      namespace: flags.namespace ?? (kubeConfig === undefined ? 'default' : ownNamespace(kubeConfig)),
      complete,
      unlistedNamespacesSelected: flags.unlistedNamespaces === 'selected',
      onProgress,
      ...(kubeConfig === undefined
        ? {}
        : { live: { client: new KubernetesClient(kubeConfig), signal: AbortSignal.timeout(readTimeout) } }),
    })
  } catch (error) {
    throw error instanceof ApiError ? cannotRead(error, kubeConfig?.getCurrentCluster()?.server, rights) : error
  } finally {
    end()
  }
  const { docsURL } = policy
  const targets = output.length === 0 ? [{ format: 'text' as const }] : output
  for (const { format, file } of targets) {
    const text = formats[format](report, {
      isTerminal: file === undefined && terminal.isTerminal.out && !process.env.NO_COLOR,
      docsURL,
    })
    if (file === undefined) terminal.out(text)
    else await write(file, text)
  }
  // Whoever reads a report for programs, or one in a file, does not see what was not even checked.
  if (!targets.some(({ format, file }) => format === 'text' && file === undefined))
    for (const one of report.unreadable) terminal.err(`meshvip: ${shownUnreadable(one)}\n`)
  return codeOf(report, failOn)
}

const write = async (file: string, text: string): Promise<void> => {
  try {
    await writeFile(file, text)
  } catch (error) {
    throw new UsageError(`cannot write ${file}: ${(error as Error).message}`, { cause: error })
  }
}
