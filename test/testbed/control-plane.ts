import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Binaries } from './binaries.ts'
import { hasCode } from './cache.ts'
import {
  apiServerArgs,
  type ControlPlaneOptions,
  etcdArgs,
  writeInputs,
  writeKubeconfig,
  writeToken,
} from './control-plane-config.ts'
import { installIstioCrds } from './istio-crds.ts'
import { bindKubectl, type Kubectl } from './kubectl.ts'
import { freePorts, type Server, startServer, stopServer } from './processes.ts'
import { PortTaken, waitUntilReady } from './ready.ts'

export type { ControlPlaneOptions }

export type ControlPlane = {
  /** `https://127.0.0.1:PORT` */
  server: string
  /** Path of a kubeconfig file for a user in system:masters. */
  kubeconfig: string
  /** Everything of this control plane, with `kube-apiserver.log` and `etcd.log`; gone after `stop`. */
  dir: string
  kubectl: Kubectl
  /** The audit events so far (audit.k8s.io/v1, level Metadata) for Services, VirtualServices and IPAddresses. */
  auditLog: () => Promise<Record<string, unknown>[]>
  /**
   * Kills the API server (SIGKILL) and starts it again: same port, same data. Resolves when it is ready. With a new certificate it has
   * another CA, with a new token the old one is worth nothing any more; `kubeconfig` then has the new one.
   */
  restartApiServer: (renewed?: 'certificate' | 'token') => Promise<void>
  /** Ends both servers and removes `dir`. Harmless when called again. */
  stop: () => Promise<void>
}

const ATTEMPTS = 3
/** The API server ends in a second unless a watch is open; its data is thrown away in any case. */
const GRACE_MS = 2_000

/**
 * Starts etcd and kube-apiserver on free loopback ports in a temporary folder, and installs Istio's CRDs. There are no
 * controllers: deleted Namespaces stay in Terminating, and nothing is garbage-collected.
 *
 * Throws, with the end of the servers' logs, where they are not ready within a minute. The servers do not keep Node
 * alive, and an exit of Node kills them. A signal that nobody handles ends Node without its 'exit' event and leaves them
 * running: a program that may be interrupted handles SIGINT and SIGTERM, if only by `process.exit`.
 */
export const startControlPlane = async (
  binaries: Binaries,
  options: ControlPlaneOptions = {},
): Promise<ControlPlane> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(binaries, options)
    } catch (error) {
      // Another process may take a port between the moment it was found free and its use.
      if (!(error instanceof PortTaken) || attempt === ATTEMPTS) throw error
    }
  }
}

const newToken = (): string => randomBytes(24).toString('hex')

const start = async (binaries: Binaries, options: ControlPlaneOptions): Promise<ControlPlane> => {
  const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3)
  const dir = await mkdtemp(join(tmpdir(), 'meshvip-testbed-'))
  let token = newToken()
  const kubeconfig = join(dir, 'kubeconfig')
  const servers: Server[] = []
  let stopping: Promise<void> | undefined
  let restarting: Promise<void> = Promise.resolve()

  const launch = (name: string, command: string, args: string[]): Server => {
    const server = startServer(name, command, args, join(dir, `${name}.log`), dir)
    servers.push(server)
    return server
  }
  const launchApiServer = (): Server =>
    launch('kube-apiserver', binaries.kubeApiserver, apiServerArgs(dir, port, etcdPort, options))
  const certificate = join(dir, 'certs', 'apiserver.crt')
  const ready = (): Promise<void> => waitUntilReady(port, certificate, token, servers)
  const saveKubeconfig = async (): Promise<void> =>
    writeKubeconfig(kubeconfig, port, await readFile(certificate), token)

  const killAtExit = (): void => {
    for (const server of servers) server.child.kill('SIGKILL')
    try {
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    } catch (error) {
      process.stderr.write(`testbed: ${dir} stays behind: ${error}\n`)
    }
  }
  process.once('exit', killAtExit)

  const tearDown = async (): Promise<void> => {
    await restarting
    // The API server first: without etcd it would spend its grace on retries.
    for (const server of [...servers].reverse()) await stopServer(server, GRACE_MS)
    process.off('exit', killAtExit)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  const stop = (): Promise<void> => {
    stopping ??= tearDown()
    return stopping
  }

  const killAndStart = async (renewed?: 'certificate' | 'token'): Promise<void> => {
    const old = servers.pop()
    if (old === undefined) throw new Error('this control plane has no API server')
    await stopServer(old, 0)
    // It makes itself a certificate where there is none.
    if (renewed === 'certificate') await rm(join(dir, 'certs'), { recursive: true })
    if (renewed === 'token') {
      token = newToken()
      await writeToken(dir, token)
    }
    launchApiServer()
    await ready()
    if (renewed !== undefined) await saveKubeconfig()
  }
  const restartApiServer: ControlPlane['restartApiServer'] = async (renewed) => {
    if (stopping !== undefined) throw new Error('this control plane has been stopped')
    const done = restarting.then(() => killAndStart(renewed))
    // stop() and the next restart wait for the end of this one; how it ended is for its own caller.
    restarting = done.catch(() => undefined)
    return done
  }

  const run = bindKubectl(binaries.kubectl, kubeconfig, dir)
  const kubectl: Kubectl = async (args, given) => {
    // With its kubeconfig gone kubectl would ask another server on this machine.
    if (stopping !== undefined) throw new Error('this control plane has been stopped')
    return run(args, given)
  }

  try {
    await writeInputs(dir, token)
    launch('etcd', binaries.etcd, etcdArgs(dir, etcdPort, peerPort))
    launchApiServer()
    await ready()
    await saveKubeconfig()
    await installIstioCrds(binaries.istioCrds, kubectl)
  } catch (error) {
    await stop()
    throw error
  }
  const auditLog = (): Promise<Record<string, unknown>[]> => readAuditLog(join(dir, 'audit.log'))
  return { server: `https://127.0.0.1:${port}`, kubeconfig, dir, kubectl, auditLog, restartApiServer, stop }
}

const readAuditLog = async (path: string): Promise<Record<string, unknown>[]> => {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    // It comes with the first event.
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
  // What follows the last newline is an event that is still being written.
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}
