import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeServingCertificate } from '../../src/certificates/self-made.ts'
import { formatHostPort, type HostPort } from '../../src/server/host-port.ts'
import type { ServeOptions } from '../../src/server/serve.ts'
import { type MeshvipProcess, startMeshvip } from '../support/meshvip-process.ts'
import { type Backend, type Balancer, type BalancerTimes, startBalancer } from '../testbed/balancer.ts'
import { freePorts } from '../testbed/processes.ts'
import { register, untilActive } from '../testbed/webhook.ts'
import type { Cluster } from './cluster.ts'

/** Where an instance listens. */
export type Listeners = { listen: HostPort; metricsListen: HostPort }

/** What each of several instances has of its own, and the serving certificate of all. */
type Own = Listeners & { tls: { cert: string; key: string } }

/** Free loopback ports for so many instances. */
export const freeListeners = async (count: number): Promise<Listeners[]> => {
  const ports = await freePorts(2 * count)
  return Array.from({ length: count }, (_, index) => {
    const [port = 0, metricsPort = 0] = ports.slice(2 * index)
    return { listen: { host: '127.0.0.1', port }, metricsListen: { host: '127.0.0.1', port: metricsPort } }
  })
}

/** An instance of meshvip: a process, and after it another one in its place. */
export class Instance implements Backend {
  readonly url: string
  readonly readyURL: string
  /** All that there were, the running one last. */
  readonly processes: MeshvipProcess[] = []
  readonly #launch: () => MeshvipProcess

  constructor({ listen, metricsListen }: Listeners, launch: () => MeshvipProcess) {
    this.url = `https://${formatHostPort(listen)}`
    this.readyURL = `http://${formatHostPort(metricsListen)}/readyz`
    this.#launch = launch
  }

  get running(): MeshvipProcess {
    const last = this.processes.at(-1)
    if (last === undefined) throw new Error('it has not been started')
    return last
  }

  async start(): Promise<void> {
    this.processes.push(this.#launch())
    await this.running.printed(/^probes and metrics: /m)
  }

  /** The webhooks of the reviews that it answered on the merits since a time. */
  answered(since = 0): unknown[] {
    const answers = this.running.log.filter(({ verdict }) => verdict === 'allowed' || verdict === 'denied')
    return answers.filter(({ time }) => Number(time) >= since).map(({ webhook }) => webhook)
  }
}

export type Instances = { instances: Instance[]; balancer: Balancer }

/**
 * Starts so many instances behind a balancer, which the API server asks from then on in place of the webhook that the cluster came
 * with. Resolves when it does.
 */
export const startInstances = async (
  t: Test,
  cluster: Cluster,
  count: number,
  launch: (own: Own) => MeshvipProcess,
  times?: BalancerTimes,
): Promise<Instances> => {
  const { ca, cert, key } = await makeServingCertificate(['127.0.0.1'], new Date())
  const tls = { cert: join(cluster.dir, 'tls.crt'), key: join(cluster.dir, 'tls.key') }
  await writeFile(tls.cert, cert)
  await writeFile(tls.key, key, { mode: 0o600 })
  const instances = (await freeListeners(count)).map(
    (listeners) => new Instance(listeners, () => launch({ ...listeners, tls })),
  )
  const balancer = await startBalancer(instances, times)
  t.teardown(() => balancer.stop())
  await Promise.all(instances.map((instance) => instance.start()))
  await Promise.all(instances.map((instance) => balancer.until(instance, true)))
  await cluster.webhook.close()
  await register(cluster, balancer.url, ca)
  await untilActive(cluster)
  return { instances, balancer }
}

/** Starts meshvip with what no option of its command line sets. */
export const startReplica = (t: Test, options: Omit<ServeOptions, 'log'>): MeshvipProcess =>
  startMeshvip(t, [JSON.stringify(options)], { entry: 'test/support/replica.ts' })
