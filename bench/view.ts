/**
 * What a large cluster in view costs: `npm run bench:view`. Fills a real API server, starts meshvip as a process of its own, from source
 * and as the one file that the image runs, and prints when it listens, when it has everything in view, and its memory.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from 'undici'
import { makeServingCertificate } from '../src/certificates/self-made.ts'
import { requestFor, reviewOf } from '../test/support/reviews.ts'
import { findOrBuildBinaries } from '../test/testbed/binaries.ts'
import { startControlPlane } from '../test/testbed/control-plane.ts'
import { freePorts, startServer, stopServer, tail } from '../test/testbed/processes.ts'
import { ApiServer } from './api-server.ts'
import { type Manifest, type Pair, populate } from './population.ts'
import { print, quantile, table, target } from './statistics.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const services = 20_000
const runs = 3
/** Milliseconds in which what was needed only for the start may go. */
const settling = 15_000
const reviews = 5_000
/** Milliseconds for anything that is waited for. */
const limit = 120_000
/** The watched kinds, but for claims: those would come with the addresses of all other Services. */
const streamed = ['Namespace', 'Service', 'VirtualService', 'ServiceEntry'] as const
const targets = { mebibytes: 150, seconds: 3 }

/** Of one process. Times in seconds from its start, memory in MiB. */
type Measured = {
  listening: number
  inView: number
  peak: number
  settled: number
  anonymous: number
  file: number
  afterReviews: number
}

/** The fields of /proc/PID/status that tell memory (proc_pid_status(5)), in MiB. */
const memoryOf = async (pid: number): Promise<(field: string) => number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024
}

const ask = async (url: string): Promise<{ ok: boolean; text: string }> => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    return { ok: response.ok, text: await response.text() }
  } catch {
    return { ok: false, text: '' }
  }
}

const isAllInView = (metrics: string): boolean => {
  const current = [...metrics.matchAll(/^meshvip_view_current\{.*\} (\d)$/gm)].map(([, value]) => value)
  return current.length > 0 && current.every((value) => value === '1')
}

type Circumstances = { folder: string; kubeconfig: string; certificate: { ca: string; cert: string; key: string } }

const postReviews = async (port: number, ca: string, pairs: readonly Pair[]): Promise<void> => {
  const client = new Client(`https://127.0.0.1:${port}`, { connect: { ca } })
  const headers = { 'content-type': 'application/json' }
  try {
    for (let index = 0; index < reviews; index++) {
      const { virtualService } = pairs[index % pairs.length] as Pair
      const body = JSON.stringify(reviewOf(requestFor(virtualService)))
      const answer = await (await client.request({ method: 'POST', path: '/validate', headers, body })).body.text()
      if (!answer.includes('"allowed":true')) throw new Error(answer)
    }
  } finally {
    await client.close()
  }
}

/** Runs meshvip, `args` being all that Node is given before its own arguments. */
const measure = async (
  args: readonly string[],
  { folder, kubeconfig, certificate }: Circumstances,
  pairs: readonly Pair[],
): Promise<Measured> => {
  const [port = 0, metricsPort = 0] = await freePorts(2)
  const log = join(folder, 'meshvip.log')
  const started = performance.now()
  const since = () => (performance.now() - started) / 1000
  const server = startServer(
    'meshvip',
    process.execPath,
    [
      ...args,
      ...['serve', '--kubeconfig', kubeconfig],
      ...['--tls-cert', join(folder, 'tls.crt'), '--tls-key', join(folder, 'tls.key')],
      ...['--listen', `127.0.0.1:${port}`, '--metrics-listen', `127.0.0.1:${metricsPort}`],
    ],
    log,
    folder,
  )
  const kill = () => server.child.kill('SIGKILL')
  process.once('exit', kill)
  const until = async (path: string, isSo: (text: string) => boolean): Promise<number> => {
    for (;;) {
      const { ok, text } = await ask(`http://127.0.0.1:${metricsPort}${path}`)
      if (ok && isSo(text)) return since()
      if (server.how !== undefined || since() * 1000 > limit) {
        throw new Error(`meshvip ${server.how ?? `took too long for ${path}`}: ${await tail(log)}`)
      }
      await sleep(20)
    }
  }
  try {
    const listening = await until('/livez', () => true)
    await until('/metrics', isAllInView)
    // Asked only now: until then it waits for a read of its own, up to a second at a time.
    const inView = await until('/readyz', () => true)
    await sleep(settling)
    const { pid = 0 } = server.child
    const settled = await memoryOf(pid)
    // Without objects there is nothing that a review could be about.
    if (pairs.length > 0) await postReviews(port, certificate.ca, pairs)
    const after = await memoryOf(pid)
    return {
      listening,
      inView,
      peak: settled('VmHWM'),
      settled: settled('VmRSS'),
      anonymous: settled('RssAnon'),
      file: settled('RssFile'),
      afterReviews: after('VmRSS'),
    }
  } finally {
    await stopServer(server, 2_000)
    process.off('exit', kill)
  }
}

/** What Node is given before the file, by the Dockerfile. */
const nodeOptionsOfImage = async (): Promise<string[]> => {
  const [, entrypoint = '[]'] = /^ENTRYPOINT (.+)$/m.exec(await readFile(join(root, 'Dockerfile'), 'utf8')) ?? []
  return (JSON.parse(entrypoint) as string[]).slice(1, -1)
}

/**
 * The API server lists all ClusterIPs for each that it gives out, and would take half an hour for 20,000. To us a Service with Pods is
 * the same without one.
 */
const withoutClusterIP = (manifest: Manifest): Manifest => {
  const { spec } = manifest as { spec?: { selector?: object } }
  return spec?.selector === undefined ? manifest : ({ ...manifest, spec: { ...spec, clusterIP: 'None' } } as Manifest)
}

const median = (measured: readonly Measured[], field: keyof Measured): number =>
  quantile(
    measured.map((one) => one[field]),
    0.5,
  )

const binaries = await findOrBuildBinaries(print)
if ('missing' in binaries) {
  process.stderr.write(`bench:view: ${binaries.missing}\n`)
  process.exit(1)
}
// An exit takes the servers along.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
print(`Node ${process.versions.node}, ${availableParallelism()} CPUs, ${process.platform}/${process.arch}`)
const folder = await mkdtemp(join(tmpdir(), 'meshvip-bench-'))
const bundle = join(folder, 'meshvip.mjs')
const controlPlane = await startControlPlane(binaries)
try {
  await promisify(execFile)(process.execPath, ['build.ts', bundle], { cwd: root })
  const certificate = await makeServingCertificate(['127.0.0.1'], new Date())
  await writeFile(join(folder, 'tls.crt'), certificate.cert)
  await writeFile(join(folder, 'tls.key'), certificate.key, { mode: 0o600 })
  const circumstances = { folder, kubeconfig: controlPlane.kubeconfig, certificate }
  const variants = [
    { name: 'from source', args: [join(root, 'src/main.ts')] },
    { name: 'one file', args: [bundle] },
    { name: 'as in the image', args: [...(await nodeOptionsOfImage()), bundle] },
  ]
  const rows: string[][] = []
  const all = async (what: string, pairs: readonly Pair[]) => {
    const measured = variants.map((): Measured[] => [])
    for (let run = 0; run < runs; run++) {
      for (const [index, { args }] of variants.entries()) {
        measured[index]?.push(await measure(args, circumstances, pairs))
      }
    }
    for (const [index, { name }] of variants.entries()) {
      const of = (field: keyof Measured) => median(measured[index] ?? [], field)
      const seconds = (['listening', 'inView'] as const).map((field) => of(field).toFixed(2))
      const memory = (['peak', 'settled', 'anonymous', 'file', 'afterReviews'] as const).map((field) =>
        of(field).toFixed(0),
      )
      rows.push([`${name}, ${what}`, ...seconds, ...memory])
    }
    return measured.at(-1) ?? []
  }
  const { manifests, pairs } = populate(services)
  await all('nothing in view', [])
  const apiServer = new ApiServer(controlPlane.kubeconfig)
  await apiServer.fill(manifests.map(withoutClusterIP), print)
  const last = await all(`${services} Services and ${pairs.length} VirtualServices in view`, pairs)
  const alone: number[] = []
  for (let run = 0; run < runs; run++) alone.push(await apiServer.stream(streamed))
  await apiServer.close()
  print(
    `\nmedians of ${runs}; seconds from the start of the process; MiB: the peak, ${settling / 1000} s after it had all`,
  )
  print(`in view (resident, and of that anonymous and of files), resident after ${reviews} reviews\n`)
  print(table(['', 'listens', 'in view', 'peak', 'resident', 'anon', 'file', 'reviewed'], rows))
  print(`\nthe API server alone takes ${quantile(alone, 0.5).toFixed(2)} s to send all that\n`)
  print(target('as in the image, resident memory with all in view', median(last, 'settled'), targets.mebibytes, ' MiB'))
  print(target('as in the image, start until all is in view', median(last, 'inView'), targets.seconds, ' s'))
} finally {
  await controlPlane.stop()
  await rm(folder, { recursive: true, force: true })
}
