/**
 * Whether Istio injects sidecars into a namespace with these labels: istio-injection says it outright, a revision otherwise.
 * Istio 1.31 manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml.
 */
export const isInjected = (labels: ReadonlyMap<string, string>): boolean => {
  const injection = labels.get('istio-injection')
  return injection === 'enabled' || (injection !== 'disabled' && labels.has('istio.io/rev'))
}
