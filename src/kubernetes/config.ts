import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { Agent, type Dispatcher } from 'undici'
import { UsageError } from '../usage-error.ts'

/** The part of client-node's KubeConfig that its types keep private (client-node 2.0.1 dist/config.js, createDispatcher). */
type DispatcherFactory = {
  createDispatcherOptions(
    cluster: unknown,
    options: object,
  ): { type: 'agent' | 'none' | 'proxy' | 'socks'; connect?: Agent.Options['connect'] & object }
  createDispatcher(cluster: unknown, options: object): Dispatcher | undefined
}

/**
 * HTTP/1.1: over HTTP/2 all requests share one connection, and when that is cut under load undici 8 goes on to send into it for ever.
 */
const http1: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch({ ...options, allowH2: false } as Dispatcher.DispatchOptions, handler)

/** Milliseconds that an idle connection is kept; the API server keeps it 90 s (apiserver pkg/server/secure_serving.go, IdleTimeout). */
const keepAliveTimeout = 60_000

/** Connections at a time: some are taken by watches, and what is read beyond the rest waits its turn. */
const maxConnections = 64

/**
 * client-node makes a dispatcher, and with it a TLS connection, for every request. Keep the last one as long as server and
 * credentials stay the same; when a CA or a client certificate is rotated it is replaced, and closes once its requests are done.
 */
const keepDispatcher = (config: KubeConfig): KubeConfig => {
  const factory = config as unknown as DispatcherFactory
  const createByProxy = factory.createDispatcher.bind(config)
  const create = (cluster: unknown, options: object) => {
    const { type, connect = {} } = factory.createDispatcherOptions(cluster, options)
    return type === 'agent' || type === 'none'
      ? new Agent({ connect, allowH2: false, keepAliveTimeout, connections: maxConnections })
      : createByProxy(cluster, options)?.compose(http1)
  }
  let kept: { key: string; dispatcher: Dispatcher | undefined } | undefined
  factory.createDispatcher = (cluster, options) => {
    const key = JSON.stringify([cluster, options])
    if (kept?.key !== key) {
      void kept?.dispatcher?.close()
      kept = { key, dispatcher: create(cluster, options) }
    }
    return kept.dispatcher
  }
  return config
}

/** The namespace that we are in: the pod's, or that of the kubeconfig's context. */
export const ownNamespace = (config: KubeConfig): string =>
  config.getContextObject(config.getCurrentContext())?.namespace ?? 'default'

const readFile = (file: string): KubeConfig => {
  const config = new KubeConfig()
  try {
    config.loadFromFile(file)
  } catch (error) {
    throw new UsageError(`cannot read the kubeconfig ${file}: ${(error as Error).message}`)
  }
  return config
}

/** Several files are one configuration, of which the first that names a context says which counts. */
const readFiles = (files: readonly [string, ...string[]]): KubeConfig => {
  const [first, ...rest] = files
  const config = readFile(first)
  for (const file of rest) {
    try {
      config.mergeConfig(readFile(file), Boolean(config.currentContext))
    } catch (error) {
      if (error instanceof UsageError) throw error
      throw new UsageError(`the kubeconfigs ${files.join(', ')} do not go together: ${(error as Error).message}`)
    }
  }
  if (!config.getCurrentCluster())
    throw new UsageError(`the kubeconfig ${files.join(', ')} names no cluster to talk to`)
  return keepDispatcher(config)
}

const isInPod = (): boolean => process.env.KUBERNETES_SERVICE_HOST !== undefined

const loadOfPod = (): KubeConfig => {
  const config = new KubeConfig()
  config.loadFromCluster()
  return keepDispatcher(config)
}

/** Reads a kubeconfig file, or the service account of the pod we run in. Throws UsageError. */
export const loadKubeConfig = (file: string | undefined): KubeConfig => {
  if (file !== undefined) return readFiles([file])
  if (!isInPod()) {
    throw new UsageError('this is no pod of a cluster: say --kubeconfig FILE, or --standalone to run without one')
  }
  return loadOfPod()
}

/** The files that kubectl reads where none is given. */
const filesOfKubectl = (): string[] => {
  const { KUBECONFIG } = process.env
  const files = KUBECONFIG ? KUBECONFIG.split(delimiter) : [join(homedir(), '.kube', 'config')]
  return files.filter((file) => existsSync(file))
}

/**
 * Reads the configuration that kubectl would: of a file, of KUBECONFIG, of ~/.kube/config, or of the pod. Throws UsageError, which says
 * what can be done instead where there is none.
 */
export const loadKubectlConfig = (file: string | undefined, instead: string): KubeConfig => {
  const [first, ...rest] = file === undefined ? filesOfKubectl() : [file]
  if (first !== undefined) return readFiles([first, ...rest])
  if (isInPod()) return loadOfPod()
  throw new UsageError(`there is no kubeconfig: say --kubeconfig FILE, set KUBECONFIG, or ${instead}`)
}
