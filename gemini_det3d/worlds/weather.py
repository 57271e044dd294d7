"""The five weathers of DeLiVER as changes of a scene's light and a camera's noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gemini_det3d.worlds.scene import Light, Scene


@dataclass(frozen=True)
class Weather:
    """What it does to the light.

    Attributes:
        sun: Factor of direct light.
        sky: Factor of light from above and of the horizon.
        haze_m: Range that the haze's distance is drawn from; None: the scene's own.
        clouds: Share of the sky that is cloud; None: the scene's own.
        noise: Noise of the colour camera, in shares of full white: it rises where light is short.
    """

    sun: float = 1.0
    sky: float = 1.0
    haze_m: tuple[float, float] | None = None
    clouds: float | None = None
    noise: float = 0.008


WEATHERS = {
    "sun": Weather(clouds=0.1),
    "cloud": Weather(sun=0.25, sky=0.9, clouds=0.9),
    "fog": Weather(sun=0.15, sky=0.8, haze_m=(12.0, 30.0), clouds=1.0, noise=0.015),
    "rain": Weather(sun=0.1, sky=0.45, haze_m=(60.0, 140.0), clouds=1.0, noise=0.04),
    "night": Weather(sun=0.012, sky=0.035, clouds=0.2, noise=0.05),
}


def under_weather(scene: Scene, weather: Weather, rng: np.random.Generator) -> Scene:
    """The same scene in another light.

    Returns:
        A scene that differs in its light only.
    """
    light = scene.light
    haze = light.haze_m if weather.haze_m is None else float(rng.uniform(*weather.haze_m))
    return replace(
        scene,
        light=Light(
            direction=light.direction,
            sun=_scaled(light.sun, weather.sun),
            sky=_scaled(light.sky, weather.sky),
            horizon=_scaled(light.horizon, weather.sky),
            haze_m=haze,
            clouds=light.clouds if weather.clouds is None else weather.clouds,
        ),
    )


def _scaled(color: tuple[float, ...], factor: float) -> tuple[float, float, float]:
    red, green, blue = (factor * value for value in color)
    return red, green, blue
