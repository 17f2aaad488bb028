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

/** Reads a kubeconfig file, or the service account of the pod we run in. Throws UsageError. */
export const loadKubeConfig = (file: string | undefined): KubeConfig => {
  const config = new KubeConfig()
  if (file === undefined) {
    if (process.env.KUBERNETES_SERVICE_HOST === undefined) {
      throw new UsageError('this is no pod of a cluster: say --kubeconfig FILE, or --standalone to run without one')
    }
    config.loadFromCluster()
  } else {
    try {
      config.loadFromFile(file)
    } catch (error) {
      throw new UsageError(`cannot read the kubeconfig ${file}: ${(error as Error).message}`)
    }
  }
  if (!config.getCurrentCluster()) throw new UsageError(`the kubeconfig ${file} names no cluster to talk to`)
  return keepDispatcher(config)
}
