import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { memoryBackend } from '../admission/backend.ts'
import { makeCertificate } from '../certificates/make.ts'
import { certificatesIn } from '../certificates/tls-secret.ts'
import { loadPolicy } from '../config/load.ts'
import { watchPolicy } from '../config/watch.ts'
import { readFileOf } from '../option-file.ts'
import { defaultPolicy, type Policy } from '../rules/policy.ts'
import { UsageError } from '../usage-error.ts'
import { readManifests } from '../view/manifests.ts'
import { ObjectStore } from '../view/object-store.ts'
import type { JanitorTimes } from '../vip/janitor.ts'
import { defaultCapacity } from './capacity.ts'
import { closeGracefully } from './graceful-close.ts'
import { createHealthServer } from './health.ts'
import { formatHostPort, type HostPort } from './host-port.ts'
import { type LiveCluster, openLiveCluster, type RegistrationOptions } from './live-cluster.ts'
import { createMetrics } from './metrics.ts'
import { type Clients, createWebhookServer, renewCertificate, type State } from './webhook.ts'

export type ServeOptions = {
  /** A cluster in memory: true, or the folder whose manifests are in it. */
  standalone?: true | string
  /** Neither this nor standalone: the cluster of the pod that we run in. */
  kubeconfig?: string
  listen: HostPort
  metricsListen?: HostPort
  /** PEM files; without them a certificate of our own, for as long as the process lives. */
  tls?: { cert: string; key: string }
  /** How the API server is told of us, and where the certificate is from then; in place of `tls`. */
  registration?: RegistrationOptions
  /** Who may ask us, by a client certificate: the CA's PEM file, and the names of whom, or none for everybody whom it certifies. */
  clients?: { ca: string; names: readonly string[] }
  config?: string
  /** Milliseconds for which a stop answers as usual, until those who send us requests have forgotten us; none where it is left out. */
  drain?: number
  /** How often claims that nobody needs are looked for, and how long each must have been so; settable for tests alone. */
  collect?: Partial<JanitorTimes>
  /** Where log lines go; the standard output unless a test listens. */
  log?: { write(line: string): void }
}

export type Serving = {
  /** `https://127.0.0.1:8443` */
  url: string
  /** Set where metricsListen was. */
  metricsURL: string | undefined
  /** The CA that signed our own certificate, and where it was written; undefined where we were given one. */
  ca: { file: string; pem: string } | undefined
  /**
   * Stops: is not ready any more at once, answers for the time of `drain` and sends whoever asks to other connections, then asks
   * whoever still comes to come again, and stops listening once what is under way is answered.
   */
  close(): Promise<void>
}

/** Milliseconds after which a change of the configuration is seen. */
const reloadInterval = 2_000

/** Milliseconds that a probe waits for a cluster that is not in view. */
const probeTimeout = 1_000

/** A cluster in memory, with the manifests of a folder in it. */
const openStandalone = async (folder: true | string, clusterDomain: string): Promise<LiveCluster> => {
  const store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: true })
  if (folder !== true) for (const object of await readManifests(folder)) store.put(object)
  return { backend: memoryBackend(store), isTrusted: () => true, checkPools: async () => {}, run: async () => {} }
}

const listen = async (app: FastifyInstance, address: HostPort, option: string): Promise<HostPort> => {
  try {
    await app.listen(address)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why =
      code === 'EADDRINUSE'
        ? `the port is taken by another process: end that one, or choose another port with ${option} HOST:PORT`
        : code === 'EACCES'
          ? 'this port needs more rights than we have: choose one above 1023'
          : message
    throw new UsageError(`cannot listen on ${formatHostPort(address)}: ${why}`, { cause: error })
  }
  return { host: address.host, port: (app.server.address() as AddressInfo).port }
}

/** The names under which callers on this machine, and the listening host's own, reach us. */
const certificateNames = (host: string): string[] => [
  ...new Set(['localhost', '127.0.0.1', '::1', ...(host === '0.0.0.0' || host === '::' ? [] : [host])]),
]

/** Who may ask us. */
const readClients = async ({ ca: file, names }: NonNullable<ServeOptions['clients']>): Promise<Clients> => {
  const ca = await readFileOf('--client-ca', file)
  // Without any CA, TLS would take the public ones.
  if (certificatesIn(ca).length === 0) throw new UsageError(`--client-ca ${file} has no certificate in PEM`)
  return { ca, names }
}

/** Starts the webhook. Rejects with an Error whose message is one sentence for whoever started it. */
export const serve = async (options: ServeOptions): Promise<Serving> => {
  const { config } = options
  const text = config === undefined ? '' : await readFileOf('--config', config)
  let policy: Policy = config === undefined ? defaultPolicy : loadPolicy(text, config)
  const { clusterDomain } = policy
  const logger = pino({ base: null }, options.log ?? pino.destination(1))
  const metrics = createMetrics()
  const { standalone, kubeconfig, registration, collect = {} } = options
  const clients = options.clients && (await readClients(options.clients))
  let webhook: FastifyInstance
  const { backend, isTrusted, checkPools, run } =
    standalone === undefined
      ? openLiveCluster({
          kubeconfig,
          policy: () => policy,
          logger,
          metrics,
          collect,
          registration,
          onCertificate: (certificate) => renewCertificate(webhook, certificate, clients),
        })
      : await openStandalone(standalone, clusterDomain)
  const given =
    options.tls === undefined
      ? undefined
      : {
          cert: await readFileOf('--tls-cert', options.tls.cert),
          key: await readFileOf('--tls-key', options.tls.key),
        }
  // Until the one of a registration is there, nobody trusts what we serve, and we are not ready.
  const made =
    given === undefined ? await makeCertificate(certificateNames(options.listen.host), new Date()) : undefined
  let state: State = 'away'

  const closers: (() => Promise<void>)[] = []
  const stopped = new AbortController()
  let running: Promise<void> | undefined
  let folder: string | undefined
  const close = async () => {
    if (state === 'serving') {
      state = 'leaving'
      await sleep(options.drain ?? 0)
    }
    state = 'away'
    stopped.abort()
    await Promise.all([...closers.map((closeServer) => closeServer()), running])
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
  try {
    await checkPools(policy.pools, stopped.signal)
    const tls = (given ?? made) as { cert: string; key: string }
    try {
      // An empty file would be taken too, and then every handshake fails.
      if (!new X509Certificate(tls.cert).checkPrivateKey(createPrivateKey(tls.key)))
        throw new Error('they do not belong together')
      webhook = createWebhookServer({
        backend,
        policy: () => policy,
        metrics,
        logger,
        tls,
        clients,
        state: () => state,
        capacity: defaultCapacity,
      })
    } catch (error) {
      throw new UsageError(`the certificate and the key cannot be used: ${(error as Error).message}`, { cause: error })
    }
    closers.push(closeGracefully(webhook))
    const address = await listen(webhook, options.listen, '--listen')
    let metricsURL: string | undefined
    if (options.metricsListen !== undefined) {
      const health = createHealthServer({
        metrics,
        isReady: async () =>
          state === 'serving' && isTrusted() && (await backend.isReachable(AbortSignal.timeout(probeTimeout))),
      })
      closers.push(closeGracefully(health))
      metricsURL = `http://${formatHostPort(await listen(health, options.metricsListen, '--metrics-listen'))}`
    }
    let ca: Serving['ca']
    if (made !== undefined && registration === undefined) {
      try {
        folder = await mkdtemp(join(tmpdir(), 'meshvip-'))
        ca = { file: join(folder, 'ca.crt'), pem: made.ca }
        await writeFile(ca.file, made.ca)
      } catch (error) {
        throw new UsageError(
          `cannot write our CA to ${tmpdir()}: ${(error as Error).message}; set TMPDIR, or give --tls-cert and --tls-key`,
          { cause: error },
        )
      }
    }
    if (config !== undefined) {
      void watchPolicy({
        file: config,
        text,
        interval: reloadInterval,
        signal: stopped.signal,
        onPolicy: async (loaded) => {
          await checkPools(loaded.pools, stopped.signal)
          // What is in view is indexed by it.
          policy = { ...loaded, clusterDomain }
          logger.info({ config }, 'the configuration was loaded anew; another clusterDomain takes a restart')
        },
        onError: (err) => logger.error({ err, config }, 'the configuration cannot be used; the one in force stays'),
      })
    }
    running = run(stopped.signal)
    state = 'serving'
    return { url: `https://${formatHostPort(address)}`, metricsURL, ca, close }
  } catch (error) {
    await close()
    throw error
  }
}
