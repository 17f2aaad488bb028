/** Whether a namespace's traffic goes by ztunnel and waypoints instead of sidecars: istio.io/dataplane-mode. */
export const isAmbient = (labels: ReadonlyMap<string, string>): boolean =>
  labels.get('istio.io/dataplane-mode') === 'ambient' && !isInjected(labels)

/**
 * Whether Istio injects sidecars into a namespace with these labels: istio-injection says it outright, a revision otherwise.
 * Istio 1.31 manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml.
 */
export const isInjected = (labels: ReadonlyMap<string, string>): boolean => {
  const injection = labels.get('istio-injection')
  return injection === 'enabled' || (injection !== 'disabled' && labels.has('istio.io/rev'))
}
