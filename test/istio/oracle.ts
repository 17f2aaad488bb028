import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildWithGo, type Missing } from '../testbed/binaries.ts'
import { fileNamedBy, type Log } from '../testbed/cache.ts'
import { readGoModule } from '../testbed/go.ts'

/** What a cluster holds, and who asks; test/istio/oracle/world.go reads it. */
export type OracleCase = {
  /** Names the case where an error is told of. */
  id: string
  /** Manifests of Kubernetes and of Istio. One without a creation timestamp counts as created on 2020-01-01. */
  objects: readonly object[]
  /** MeshConfig, as in Istio's ConfigMap. */
  mesh?: object
  /** The cluster's domain, `cluster.local` unless given. */
  domain?: string
  clients: readonly { namespace: string; labels?: Record<string, string> }[]
  calls?: readonly OracleCall[]
}

/** A request that a client (an index) sends. Istio's simulation reads no header but Host and picks no weighted cluster. */
export type OracleCall = {
  client: number
  address: string
  port: number
  protocol: 'http' | 'tcp' | 'tls'
  path?: string
  host?: string
  sni?: string
}

/** One `clients` entry a client and one `calls` entry a call, in order. */
export type OracleAnswer = {
  id: string
  /** The configuration that istiod's webhook would have refused, each with the reason. */
  refused: string[]
  /** What that webhook warns of. */
  warned: string[]
  clients: Emitted[]
  calls: Outcome[]
}

/** The outbound configuration that one sidecar is given, reduced to where requests go: test/istio/oracle/emitted.go. */
export type Emitted = {
  /** The virtual hosts by the name of the route configuration: `3111`, or `fqdn:3111` where the protocol is detected. */
  routes: Record<string, EmittedVirtualHost[]>
  listeners: EmittedListener[]
  clusters: { name: string; type: string }[]
}

export type EmittedVirtualHost = { name: string; domains: string[]; routes: EmittedRoute[] }

/** It has clusters, or redirect, or directResponse. */
export type EmittedRoute = {
  name: string
  /** `namespace/name` of the VirtualService it is from; empty for a default route. */
  config: string
  /** Envoy's RouteMatch: one with prefix `/` and no headers or query parameters matches all. */
  match: { prefix?: string; path?: string; caseSensitive?: boolean; headers?: object[]; queryParameters?: object[] }
  clusters: WeightedCluster[]
  mirrors: { name: string; percent: number }[]
  redirect?: object
  directResponse?: number
}

/** A single cluster has weight 100. */
export type WeightedCluster = { name: string; weight: number }

export type EmittedListener = {
  name: string
  address: string
  port: number
  chains: EmittedChain[]
  /** Takes what no chain matches. */
  default?: EmittedChain
}

/** It has either rds, the name of a route configuration, or tcp. */
export type EmittedChain = {
  match: {
    prefixRanges?: string[]
    destinationPort?: number
    serverNames?: string[]
    applicationProtocols?: string[]
    transportProtocol?: string
  }
  /** As of a route; only tls and tcp routes have it. */
  config?: string
  rds?: string
  tcp?: WeightedCluster[]
  /** Further network filters, such as redis_proxy. */
  filters?: string[]
}

/** What a call met, as far as it came; `missing` where there is no such cluster. */
export type Outcome = {
  listener?: string
  filterChain?: string
  routeConfig?: string
  virtualHost?: string
  route?: string
  cluster?: string
  missing?: boolean
  error?: string
}

export type Oracle = {
  /** The answers, in the order of the cases. Rejects where one of them cannot be answered; the oracle lives on. */
  ask: (cases: readonly OracleCase[]) => Promise<OracleAnswer[]>
  /** Ends the process; harmless twice. */
  close: () => Promise<void>
}

const FOLDER = join(import.meta.dirname, 'oracle')
const BINARY = 'oracle'
/** A case takes some 30 ms; this is beyond any machine's bad day. */
const ANSWER_MS = 60_000
const CLOSE_MS = 5_000
const STDERR_LINES = 20

/**
 * The oracle's program: the file that ISTIO_ORACLE names, else from the cache, else built with Go into the cache. Throws where the
 * variable names nothing, and where the build fails.
 */
export const findOrBuildOracle = async (log: Log): Promise<string | Missing> => {
  const named = await fileNamedBy('ISTIO_ORACLE')
  if (named !== undefined) return named
  const module = await readGoModule(FOLDER)
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.go')).sort()
  const sources = await Promise.all(files.map((name) => readFile(join(FOLDER, name), 'utf8')))
  const folder = await buildWithGo(
    {
      module,
      sources: sources.join('\n'),
      what: `the routing oracle of Istio ${module.version('istio.io/istio')}`,
      minutes: 6,
      otherwise: 'no generator of Istio to test against: set ISTIO_ORACLE to a ready binary of test/istio/oracle',
      builds: [{ output: BINARY, flags: ['-trimpath', '-ldflags', '-s -w', '.'] }],
    },
    log,
  )
  return typeof folder === 'string' ? join(folder, BINARY) : folder
}

type Waiting = { id: string; resolve: (answer: OracleAnswer) => void; reject: (error: Error) => void }

/** Starts the program. Several may run side by side; each works on one case at a time. */
export const startOracle = (binary: string, { answerMs = ANSWER_MS }: { answerMs?: number } = {}): Oracle => {
  // PILOT_* variables of the caller would turn features on and off.
  const child = spawn(binary, [], { env: {}, stdio: ['pipe', 'pipe', 'pipe'] })
  const waiting: Waiting[] = []
  const stderr: string[] = []
  let broken: Error | undefined
  let deadline: NodeJS.Timeout | undefined

  const watch = (): void => {
    clearTimeout(deadline)
    if (waiting.length > 0) {
      deadline = setTimeout(() => {
        fail(`gave no answer within ${answerMs} ms`)
        child.kill('SIGKILL')
      }, answerMs)
    }
  }
  const fail = (how: string): void => {
    clearTimeout(deadline)
    const at = waiting[0] === undefined ? '' : ` at case ${waiting[0].id}`
    broken ??= new Error(`the oracle ${how}${at}${['', ...stderr].join('\n')}`)
    for (const { reject } of waiting.splice(0)) reject(broken)
  }
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      fail(`could not be started: ${error.message}`)
      resolve()
    })
    child.once('close', (code, signal) => {
      fail(signal === null ? `exited with ${code}` : `was ended by ${signal}`)
      resolve()
    })
  })
  // Writing to a process that is gone: `close` tells.
  child.stdin.on('error', () => {})
  createInterface(child.stderr).on('line', (line) => {
    stderr.push(line)
    stderr.splice(0, stderr.length - STDERR_LINES)
  })
  createInterface(child.stdout).on('line', (line) => {
    const next = waiting.shift()
    watch()
    const { error, ...answer } = JSON.parse(line) as OracleAnswer & { error?: string }
    if (error === undefined) next?.resolve(answer)
    else next?.reject(new Error(`the oracle cannot answer case ${next.id}: ${error}`))
  })

  const askOne = (question: OracleCase): Promise<OracleAnswer> =>
    new Promise((resolve, reject) => {
      if (broken !== undefined) return reject(broken)
      waiting.push({ id: question.id, resolve, reject })
      if (waiting.length === 1) watch()
      child.stdin.write(`${JSON.stringify(question)}\n`)
    })

  return {
    ask: async (cases) => {
      const answers = await Promise.allSettled(cases.map(askOne))
      return answers.map((answer) => {
        if (answer.status === 'rejected') throw answer.reason
        return answer.value
      })
    },
    close: async () => {
      child.stdin.end()
      const timer = new AbortController()
      const timeout = sleep(CLOSE_MS, undefined, { signal: timer.signal }).catch(() => 'cancelled')
      await Promise.race([ended, timeout])
      timer.abort()
      child.kill('SIGKILL')
      await ended
    },
  }
}
