"""Renders a picture with two lines of Chinese: OpenCV 5 brings a font that has them."""

import sys

import cv2
import numpy

picture = numpy.full((240, 640, 3), 255, numpy.uint8)
font = cv2.FontFace("uni")
for line, text in enumerate(sys.argv[2:]):
    cv2.putText(picture, text, (30, 90 + 90 * line), (0, 0, 0), font, 48)
cv2.imwrite(sys.argv[1], picture)
