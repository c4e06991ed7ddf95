// The SDK is fetched after the app has drawn its first frame, from where the host serves it.
export const loadSdk = () => import('/sdk/index.js');
