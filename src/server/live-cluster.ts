import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { type AllocationOutcome, type Backend, liveBackend } from '../admission/backend.ts'
import { formatName } from '../api/metadata.ts'
import { CertificateFollower, type FollowerTimes } from '../certificates/follower.ts'
import { makeCertificate } from '../certificates/make.ts'
import type { ServingCertificate } from '../certificates/self-made.ts'
import { readTLSSecret } from '../certificates/tls-secret.ts'
import { KubernetesClient } from '../kubernetes/client.ts'
import { loadKubeConfig, ownNamespace } from '../kubernetes/config.ts'
import { EventRecorder } from '../kubernetes/event-recorder.ts'
import { LeaderElection } from '../kubernetes/leader-election.ts'
import { trustedByAll } from '../registration/published.ts'
import { presentConfigurations, Registrar, type RegistrarTimes } from '../registration/registrar.ts'
import { type Endpoint, serverName } from '../registration/webhook-configurations.ts'
import type { Policy } from '../rules/policy.ts'
import { type Advice, checkServiceCIDRs, clusterAdvice } from '../vip/cluster-checks.ts'
import { Janitor, type JanitorTimes } from '../vip/janitor.ts'
import { ledger } from '../vip/ledger.ts'
import { formatPools } from '../vip/pools.ts'
import { Grievances } from './grievances.ts'
import { type Metrics, observeAddresses, observeView } from './metrics.ts'

/** How the API server is told of us, by the replica that has the Lease. */
export type RegistrationOptions = {
  /** By which it reaches us: a Service of our namespace, or `https://HOST:PORT` outside of the cluster. */
  to: { service: { name: string; port: number } } | { url: string }
  /** The Secret of our namespace with the serving certificate of all replicas. */
  secret: string
  /** Whether it is us who make and renew what is in it. */
  selfManaged: boolean
  /** Settable for tests alone. */
  times?: { registrar?: Partial<RegistrarTimes>; follower?: Partial<FollowerTimes> }
}

export type LiveClusterOptions = {
  /** Undefined for the cluster of the pod that we run in. */
  kubeconfig: string | undefined
  /** The policy in force. */
  policy(): Policy
  logger: Logger
  metrics: Metrics
  collect: Partial<JanitorTimes>
  registration: RegistrationOptions | undefined
  /** Serves with the certificate of the registration from now on. */
  onCertificate(certificate: ServingCertificate): void
}

export type LiveCluster = {
  backend: Backend
  /** Whether the API server trusts the certificate that we serve, as far as that is for us to see to. */
  isTrusted(): boolean
  /** Throws UsageError where the cluster does not admit these pools. */
  checkPools(pools: Policy['pools'], signal: AbortSignal): Promise<void>
  /** Watches the cluster, and looks after its addresses where we are the replica that does, until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>
}

/** The Lease by which one of the replicas of a namespace looks after the addresses and the registration. */
const leaseName = 'meshvip'

/** Milliseconds that a start, or a new configuration, waits to see what the cluster has against the pools. */
const poolCheckTimeout = 5_000

/** Milliseconds for what is only said, and waits for webhooks, ours among them. */
const adviceTimeout = 30_000

/** The registration of the webhook, and the certificate that each replica serves with. */
const openRegistration = (
  { to, secret, selfManaged, times = {} }: RegistrationOptions,
  client: KubernetesClient,
  namespace: string,
  { policy, logger, metrics, onCertificate }: LiveClusterOptions,
) => {
  const endpoint: Endpoint = 'service' in to ? { service: { namespace, ...to.service } } : to
  const name = serverName(endpoint)
  const names = 'service' in to ? [name, `${name}.${policy().clusterDomain}`] : [name]
  const secretName = { namespace, name: secret }
  const registrar = new Registrar({
    client,
    registration: { endpoint, ownNamespace: namespace },
    clusterDomain: policy().clusterDomain,
    secret: secretName,
    issueFor: selfManaged ? names : undefined,
    make: makeCertificate,
    onIssued: (why) => logger.info({ secret, why }, 'a certificate was made'),
    onWritten: (failOpen) => logger.info({ failOpen }, 'the webhook configurations were written'),
    onState: (failOpen) => metrics.failOpen.set(failOpen ? 1 : 0),
    onError: (err) => logger.warn({ err, secret }, 'the registration is not as it is to be; this is tried again'),
    ...(times.registrar === undefined ? {} : { times: times.registrar }),
  })
  const follower = new CertificateFollower({
    read: async (signal) => readTLSSecret(await client.get('Secret', secretName, signal), name),
    published: async (signal) =>
      trustedByAll((await presentConfigurations(client, signal)).flatMap(({ hops }) => hops)),
    use: (certificate) => {
      onCertificate(certificate)
      const notAfter = certificate.leaf.validToDate
      metrics.certificateNotAfter.set({ secret }, notAfter.getTime() / 1000)
      logger.info({ secret, notAfter }, 'another certificate is served')
    },
    onError: (err) => logger.warn({ err, secret }, 'the certificate cannot be loaded; this is tried again'),
    ...(times.follower === undefined ? {} : { times: times.follower }),
  })
  return { registrar, follower }
}

/** The cluster of a kubeconfig, or of the pod that we run in. Throws UsageError. */
export const openLiveCluster = (options: LiveClusterOptions): LiveCluster => {
  const { kubeconfig, policy, logger, metrics, collect } = options
  const kubeConfig = loadKubeConfig(kubeconfig)
  const namespace = ownNamespace(kubeConfig)
  const client = new KubernetesClient(kubeConfig)
  const identity = hostname()
  const recorder = new EventRecorder({
    client,
    identity,
    onDropped: ({ reason }) => logger.warn({ reason }, 'Events are not recorded: too many wait'),
    onError: (err) => logger.warn({ err }, 'Events cannot be recorded'),
  })

  const onAllocation = ({ service, pools, address, dryRun, conflicts, milliseconds }: AllocationOutcome) => {
    const outcome = address === undefined ? 'exhausted' : 'allocated'
    metrics.allocationSeconds.observe({ outcome }, milliseconds / 1000)
    metrics.allocationConflicts.inc(conflicts)
    if (address !== undefined) return
    for (const { cidr } of pools) metrics.poolExhausted.inc({ pool: cidr })
    if (dryRun) return
    recorder.record({
      regarding: { apiVersion: 'v1', kind: 'Service', namespace: service.namespace, name: service.name },
      type: 'Warning',
      reason: 'PoolExhausted',
      action: 'AllocateAddress',
      note: `no address is free in ${formatPools(pools)}: the owners of the cluster have to make the pool larger`,
    })
  }

  const live = liveBackend({
    client,
    clusterDomain: policy().clusterDomain,
    onError: (kind, err) => logger.warn({ kind, err }, 'a watch failed, and is tried again'),
    onRead: (kind, reason) => metrics.viewReads.inc({ kind, reason }),
  })
  const { cluster } = live
  const records = () => cluster.addresses && ledger(cluster.addresses, policy())
  observeView(metrics, cluster.reflectors)
  observeAddresses(metrics, () => policy().pools, records)

  const grievances = new Grievances({ cluster, policy, recorder, logger })
  const janitor = new Janitor({
    client,
    claims: live.claims,
    records,
    onCollected: (address, service) => {
      metrics.claimsCollected.inc()
      logger.info({ address, service: formatName(service) }, 'a claim that nobody needs was deleted')
    },
    onAdopted: (address, service) => {
      metrics.claimsAdopted.inc()
      logger.info(
        { address, service: formatName(service) },
        'an address that a Service had without a claim was claimed for it',
      )
    },
    onLook: (found, signal) => grievances.tell(found, signal),
    onError: (err) => logger.warn({ err }, 'a claim could not be looked after, and is so later'),
    times: collect,
  })
  const registration =
    options.registration === undefined ? undefined : openRegistration(options.registration, client, namespace, options)
  const lead = async (leading: AbortSignal): Promise<void> => {
    try {
      await Promise.all([janitor.run(leading), registration?.registrar.run(leading)])
    } finally {
      // It is for the next leader to tell.
      metrics.failOpen.set(0)
    }
  }
  const election = new LeaderElection({
    client,
    lease: { namespace, name: leaseName },
    identity,
    onChange: (holder) => logger.info({ holder }, 'the Lease of the replica that leads has a new holder'),
    onError: (err) => logger.warn({ err }, 'who leads cannot be settled, and is tried again'),
  })

  const tell = async (ask: (inTime: AbortSignal) => Promise<Advice[]>, timeout: number, signal: AbortSignal) => {
    const advice = await ask(AbortSignal.any([signal, AbortSignal.timeout(timeout)]))
    // What was cut short by our own end says nothing of the cluster.
    if (!signal.aborted) for (const { level, message, err } of advice) logger[level]({ err }, message)
  }
  return {
    backend: { ...live, onAllocation },
    isTrusted: () => registration === undefined || registration.follower.serving !== undefined,
    checkPools: (pools, signal) => tell((inTime) => checkServiceCIDRs(client, pools, inTime), poolCheckTimeout, signal),
    run: async (signal) => {
      const advise = (inTime: AbortSignal) => clusterAdvice(client, namespace, policy().pools, inTime)
      await Promise.all([
        cluster.run(signal),
        election.run(lead, signal),
        registration?.follower.run(signal),
        tell(advise, adviceTimeout, signal),
      ])
      await recorder.flush()
    },
  }
}
